"""What up, down, status and env do without a stack, as commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend_demo.cli.env import quoted


@pytest.mark.parametrize("value", ["plain", "", "a b", "it's", '$HOME `id` "x"', "back\\slash", "new\nline"])
def test_an_exported_value_is_what_the_shell_sees(value: str) -> None:
    script = f'X={quoted(value)}; printf %s "$X"'
    assert quoted(value).startswith("'")
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == value


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["scale", "processing=0"], 2, "error: processing=0: a service has at least one copy"),
        (["scale", "kafka=3"], 2, "error: kafka=3: there can be only one kafka"),
        (["scale", "procesing=3"], 9, "error: unknown service 'procesing'"),
        (["scale", "processing=2"], 7, "error: no stack runs in"),
        (["up", "--without", "kafka"], 2, "error: kafka cannot be left out"),
        (
            ["up", "kafka", "--scale", "processing=2"],
            2,
            "error: processing=2: processing is not among the services to start",
        ),
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
    assert "an empty path would mean the working directory" in found.stderr


def bdemo(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backend_demo", *words]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
