"""The help of every command: quick, and with examples that are right."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from backend_demo.cli.main import app

#: Slow to import: only what a command needs, when it runs.
SLOW = ("pydantic", "aiokafka", "faust", "paho", "sqlalchemy", "fastapi", "httpx", "psutil", "asyncio")

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


def test_help_imports_nothing_slow() -> None:
    program = (
        "import sys; from backend_demo.cli.main import app; app(['--help'], standalone_mode=False); "
        f"sys.exit(' '.join(name for name in {SLOW} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "simulate" in done.stdout
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("group", [(), ("tail",), ("query",)], ids=" ".join)
def test_a_group_without_a_command_shows_its_help(group: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backend_demo", *group], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")
    assert "error:" not in done.stderr
