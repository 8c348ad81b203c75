"""What up, status and env print, without a stack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend_demo.cli.env import quoted
from backend_demo.cli.options import copies
from backend_demo.cli.status import duration
from backend_demo.errors import UsageError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (3_600, "1 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("value", ["plain", "", "a b", "it's", '$HOME `id` "x"', "back\\slash", "new\nline"])
def test_an_exported_value_is_what_the_shell_sees(value: str) -> None:
    script = f'X={quoted(value)}; printf %s "$X"'
    assert quoted(value).startswith("'")
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == value


def test_copies_are_read_from_words() -> None:
    assert copies([]) == {}
    assert copies(["processing=3", "kafka=-1", "loader=08"]) == {"processing": 3, "kafka": -1, "loader": 8}


@pytest.mark.parametrize(
    "word",
    ["processing", "=3", "processing=", "processing=x", "processing=1.5", "processing=٣", "processing=9999999999"],
)
def test_a_word_that_names_no_copies_is_refused(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        copies([word])
    assert "processing=3" in caught.value.hint


def test_a_service_is_scaled_once() -> None:
    with pytest.raises(UsageError, match="twice"):
        copies(["processing=2", "processing=3"])


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["scale", "processing=0"], 2, "error: processing=0: there is one copy at least"),
        (["scale", "kafka=3"], 2, "error: kafka=3: there can be one kafka only"),
        (["scale", "procesing=3"], 9, "error: unknown service 'procesing'"),
        (["scale", "processing=2"], 7, "error: no stack runs in"),
        (["up", "--without", "kafka"], 2, "error: kafka cannot be left out"),
        (["up", "kafka", "--scale", "processing=2"], 2, "error: processing=2: processing is not to be started"),
        (["up", "--stack", "podman"], 2, "error: invalid value for '--stack'"),
    ],
)
def test_what_cannot_be_is_told_and_leaves_nothing(words: list[str], code: int, error: str, tmp_path: Path) -> None:
    done = bdemo(*words, "--state-dir", str(tmp_path / "none"))
    assert done.returncode == code
    assert done.stderr.startswith(error)
    assert "\nhint: " in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_an_empty_state_directory_is_refused(command: str, tmp_path: Path) -> None:
    """It would be the working directory."""
    assert "--state-dir" in bdemo(command, "--state-dir", "").stderr
    found = bdemo(command, BDEMO_STATE_DIR="")
    assert found.returncode == 3
    assert "state_dir: it is empty" in found.stderr


def bdemo(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backend_demo", *words]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
