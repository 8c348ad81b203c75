"""The help of every command: quick, and with examples that are right."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from backend_demo.cli import help as help_texts
from backend_demo.cli.main import app

ROOT: Any = typer.main.get_command(app)


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(commands(ROOT))


def command_at(path: tuple[str, ...]) -> Any:
    found = ROOT
    for name in path:
        found = found.commands[name]
    return found


def examples(path: tuple[str, ...]) -> list[list[str]]:
    """The arguments of every `bdemo` in the example lines of a command's help."""
    lines = re.findall(r"^\s*\$ (.*)$", command_at(path).help, flags=re.MULTILINE)
    # what stands behind a pipe or outside of $(...) is not bdemo's
    calls = [call for line in lines for call in re.findall(r"\bbdemo\b((?:'[^']*'|[^'|;&()])*)", line)]
    return [shlex.split(call) for call in calls]


@pytest.fixture(params=[80, 120])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The columns of the terminal."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


def help_of(path: tuple[str, ...]) -> str:
    """A command's help as it is printed, with its colours."""
    context = None
    command: Any = ROOT
    for name in ("bdemo", *path):
        command = ROOT if context is None else command.commands[name]
        context = command.context_class(command, info_name=name, parent=context)
    return str(command.get_help(context))


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


PAGES = [(), ("tail",), ("query",), *COMMANDS]


@pytest.mark.parametrize("path", PAGES, ids=" ".join)
@pytest.mark.usefixtures("width")
def test_help_is_in_plain_words_and_nothing_is_cut(path: tuple[str, ...]) -> None:
    page = bare(help_of(path))
    assert "\xa0" not in page
    assert not re.search(r"<(int|float|str|list|path)\b", page, re.IGNORECASE)
    assert not re.search(r" range>|<=x|x<=|x>=", page)
    assert not re.search(r"\w\.\.\.$", page, re.MULTILINE)


@pytest.mark.parametrize("path", PAGES, ids=" ".join)
def test_help_fits_the_terminal(path: tuple[str, ...], width: int) -> None:
    """Examples are longer, as they are to be copied."""
    lines = [line for line in bare(help_of(path)).splitlines() if not line.lstrip().startswith("$ ")]
    assert [line for line in lines if len(line) > width] == []


def test_every_command_stands_in_the_help_of_its_group_with_its_whole_sentence() -> None:
    for group in (path for path in PAGES if path not in COMMANDS):
        page = " ".join(bare(help_of(group)).split())
        for name, command in command_at(group).commands.items():
            assert f"{name} {command.help.strip().partition(chr(10))[0]}" in page


def test_help_has_colours_unless_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in help_of(("up",))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in help_of(("up",))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("--n <int range>", "--n INTEGER"),
        ("--names <list[str]>", "--names TEXT"),
        ("-o <table|json>", "-o [table|json]"),
        ("--with <one>", "--with [one]"),
        ("Add it.  [default: 2.0; 0.5<=x<=60]", "Add it.  [default: 2.0; from 0.5 to 60]"),
        ("[x>=0]", "[at least 0]"),
        ("[default: (50, 1000)]", "[default: 50, 1000]"),
    ],
)
def test_types_and_bounds_are_words(text: str, plain: str) -> None:
    assert help_texts.plain(text) == plain


def test_there_are_commands() -> None:
    assert ("tail", "topic") in COMMANDS
    assert ("up",) in COMMANDS


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_examples_of_itself(path: tuple[str, ...]) -> None:
    assert "Examples" in command_at(path).help
    assert any(tuple(arguments[: len(path)]) == path for arguments in examples(path))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_example_is_a_command_line_that_is_taken(path: tuple[str, ...]) -> None:
    for arguments in examples(path):
        command: Any = ROOT
        context = command.make_context("bdemo", list(arguments))
        while hasattr(command, "commands"):
            name, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(name, list(arguments), parent=context)


def test_every_option_has_a_help_text() -> None:
    missing = [
        (" ".join(path), parameter.name)
        for path in COMMANDS
        for parameter in command_at(path).params
        if not getattr(parameter, "help", None) and not getattr(parameter, "hidden", False)
    ]
    assert missing == []
