"""How errors become exit codes."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest

from backend_demo.cli.main import main
from backend_demo.errors import BdemoError

Bdemo = Callable[..., int]


@pytest.fixture
def bdemo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bdemo]:
    """Runs a command line in this process and returns its exit code."""

    def run(*words: object, stdout: TextIO | None = None) -> int:
        if stdout is not None:
            monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "argv", ["bdemo", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


WRONG = [
    (["status", "--state-dir", "NONE"], 7, "no_stack"),
    (["status", "--bogus"], 2, "usage"),
    (["verify", "--wait", "soon"], 2, "usage"),
    (["logs", "loder", "--state-dir", "NONE"], 9, "unknown_name"),
]


@pytest.mark.parametrize(("words", "code", "name"), WRONG)
def test_an_error_is_a_line_and_a_hint(
    bdemo: Bdemo, capfd: pytest.CaptureFixture[str], words: list[str], code: int, name: str, tmp_path: Path
) -> None:
    assert bdemo(*(str(tmp_path / "none") if word == "NONE" else word for word in words)) == code
    printed = capfd.readouterr()
    error, hint = printed.err.splitlines()
    assert printed.out == ""
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(("words", "code", "name"), WRONG)
def test_with_json_an_error_is_a_document(
    bdemo: Bdemo, capfd: pytest.CaptureFixture[str], words: list[str], code: int, name: str, tmp_path: Path
) -> None:
    assert bdemo(*(str(tmp_path / "none") if word == "NONE" else word for word in words), "-o", "json") == code
    printed = capfd.readouterr()
    assert printed.err == ""
    error = json.loads(printed.out)["error"]
    assert list(error) == ["code", "message", "hint"]
    assert error["code"] == name
    assert error["message"]
    assert error["hint"]


def test_a_wrong_setting_is_a_document_too(
    bdemo: Bdemo, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BDEMO_KAFKA_PORT", "x")
    assert bdemo("verify", "-o", "json") == 3
    printed = capfd.readouterr()
    assert printed.err == ""
    assert json.loads(printed.out)["error"]["code"] == "configuration_invalid"


def test_an_error_that_cannot_be_written_as_json_is_on_stderr(bdemo: Bdemo, capfd: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "w") as full:
        assert bdemo("status", "--bogus", "-o", "json", stdout=full) == 2
    assert capfd.readouterr().err.startswith("error: ")


def test_a_full_disk_has_a_code_of_its_own(bdemo: Bdemo, capfd: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "w") as full:
        assert bdemo("--version", stdout=full) == 6
    assert capfd.readouterr().err == (
        "error: cannot write the output: No space left on device\nhint: free some disk space\n"
    )


def test_every_error_has_a_code_of_its_own() -> None:
    def kinds(kind: type[BdemoError]) -> list[type[BdemoError]]:
        return [kind, *(found for child in kind.__subclasses__() for found in kinds(child))]

    codes = [kind.code for kind in kinds(BdemoError)]
    assert len(codes) == len(set(codes))
