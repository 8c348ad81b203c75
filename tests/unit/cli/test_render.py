"""What is printed where, in which form."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal

import pytest
import typer

from backend_demo.cli import render
from backend_demo.cli.main import app
from backend_demo.errors import VerificationFailed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    schema: Literal["bdemo.found/1"] = "bdemo.found/1"
    parts: tuple[Part, ...]


FOUND = Found(parts=(Part(name="first"), Part(name="°")))


def view(found: Found) -> render.View:
    yield "these were found:"
    yield render.Table(("part", "length>", "note"), [(part.name, len(part.name), None) for part in found.parts])


def test_a_result_is_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    render.show(FOUND, "json", view)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"schema": "bdemo.found/1", "parts": [{"name": "first"}, {"name": "°"}]}
    assert printed.err == ""


def test_a_mapping_is_a_result_too(capsys: pytest.CaptureFixture[str]) -> None:
    render.show({"schema": "bdemo.found/1", "part": Part(name="first")}, "json", lambda _: ())
    assert json.loads(capsys.readouterr().out) == {"schema": "bdemo.found/1", "part": {"name": "first"}}


def test_people_see_texts_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    render.show(FOUND, "table", view)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip(" ─")]
    assert lines == [["these", "were", "found:"], ["part", "length", "note"], ["first", "5"], ["°", "1"]]


def test_a_bad_result_and_its_error_are_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        render.show(FOUND, "json", view, problem=VerificationFailed("2 readings are lost", hint="look for them"))
    assert ended.value.exit_code == VerificationFailed.exit_code
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["schema", "parts", "error"]
    assert document["error"] == {
        "code": "verification_failed",
        "message": "2 readings are lost",
        "hint": "look for them",
    }


def test_people_see_a_bad_result_and_then_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    problem = VerificationFailed("2 readings are lost")
    with pytest.raises(VerificationFailed) as raised:
        render.show(FOUND, "table", view, problem=problem)
    assert raised.value is problem
    assert "first" in capsys.readouterr().out


def test_an_error_for_people_is_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    render.report(VerificationFailed("[red] is lost", hint="look for it"), as_json=False)
    assert capsys.readouterr() == ("", "error: [red] is lost\nhint: look for it\n")


def test_an_error_for_programs_is_a_line_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    render.report(VerificationFailed("two\nlines"), as_json=True)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    assert json.loads(printed.out) == {"error": {"code": "verification_failed", "message": "two\nlines", "hint": ""}}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("status -o json", True),
        ("status -ojson", True),
        ("status --output json", True),
        ("status --output=json", True),
        ("logs -fo json", True),
        ("verify -vo json --bogus", True),
        ("query latest -o ndjson", False),
        ("status", False),
        ("status -o table", False),
        ("status -o", False),
        ("query latest -o csv", False),
        ("query latest -o out.json", False),
        ("status -o json -o table", False),
        ("status -o table -o json", True),
        ("query sql -- -o json", False),
        ("query sql json", False),
        ("query range --order json", False),
        ("query range --output-file json", False),
    ],
)
def test_a_command_line_asks_for_json(line: str, expected: bool) -> None:
    assert render.wants_json(line.split()) is expected


def test_every_short_flag_may_stand_before_o() -> None:
    """`wants_json` knows the flags that take no value."""

    def flags(command: Any) -> set[str]:
        found = {
            name
            for parameter in command.params
            if getattr(parameter, "is_flag", False)
            for name in parameter.opts
            if len(name) == 2
        }
        return found.union(*map(flags, getattr(command, "commands", {}).values()))

    for flag in flags(typer.main.get_command(app)):
        assert render.wants_json([f"{flag}o", "json"]), flag
