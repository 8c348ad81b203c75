"""The help texts: grouped commands, plain words for types and bounds, colours on a terminal.

typer's own formatting by rich doubles the CPU time of `bdemo --help`: 0.47 s became 1.0 s on a busy machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer._click.formatting import HelpFormatter
from typer.core import TyperCommand, TyperGroup

#: Widest help, columns: longer lines are hard to read.
WIDTH_MAX = 100

_TYPES = {"int": "INTEGER", "float": "NUMBER", "str": "TEXT", "Path": "PATH", "path": "PATH", "file": "PATH"}
#: What typer writes for a type: `<int>`, `<int range>`, `<list[str]>`, `<table|json>`.
_TYPE = re.compile(r"<(?:list\[)?([^<>\[\]]+?)(?: range)?\]?>")
#: What typer writes, and our words for it.
_WORDS = (
    (re.compile(r"([\d.]+)<=x<=([\d.]+)"), r"from \1 to \2"),
    (re.compile(r"x>=([\d.]+)"), r"at least \1"),
    (re.compile(r"x<=([\d.]+)"), r"at most \1"),
    (re.compile(r"\[default: \(([^()]*)\)"), r"[default: \1"),
)
#: What stands behind an option's sentence.
_NOTE = re.compile(r"\[(?:default|env|from|at least|at most|required)\b[^\]]*\]")
_OPTION = re.compile(r"(?<!\w)--?[a-z][a-z-]*")
#: Stands for a space that is not a place to break the line.
_JOINT = "\xa0"


def plain(text: str) -> str:
    """The text with our words for typer's types and bounds: `INTEGER`, `[table|json]`, `from 0 to 50000`."""
    text = _TYPE.sub(lambda match: _TYPES.get(match[1], f"[{match[1]}]"), text)
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    return text


class Formatter(HelpFormatter):
    """Writes headings, names and examples in colours, which `typer.echo` drops where there is no terminal."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        super().__init__(indent_increment, width, max_width or WIDTH_MAX)
        self._section = ""
        self._colours = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        begin = len(self.buffer)
        super().write_usage(prog, args, prefix)
        self._restyle(begin, lambda line: line.replace("Usage:", self._style("Usage:", bold=True), 1))

    def write_heading(self, heading: str) -> None:
        self._section = heading
        self.write(f"{'':>{self.current_indent}}{self._style(f'{heading}:', bold=True)}\n")

    def write_text(self, text: str) -> None:
        begin = len(self.buffer)
        super().write_text(text)
        self._restyle(begin, self._example)

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        begin = len(self.buffer)
        joined = [(self._names(first), _NOTE.sub(_join, plain(second))) for first, second in rows]
        super().write_dl(joined, col_max, col_spacing)
        self._restyle(begin, lambda line: _NOTE.sub(self._note, line).replace(_JOINT, " "))

    def _restyle(self, begin: int, change: Callable[[str], str]) -> None:
        """Changes what was written since `begin`, line by line; before it is wrapped, colours would count as text."""
        written = "".join(self.buffer[begin:])
        self.buffer[begin:] = ["\n".join(map(change, written.split("\n")))]

    def _example(self, line: str) -> str:
        text = line.lstrip()
        if text == "Examples:":
            return line.replace(text, self._style(text, bold=True))
        return line.replace(text, self._style(text, fg="green")) if text.startswith("$ ") else line

    def _names(self, text: str) -> str:
        """The first column: an option and its value, an argument, or a command."""
        if self._section == "Options":
            return _OPTION.sub(lambda match: self._style(match[0], fg="cyan"), plain(text))
        return self._style(text.partition(" <")[0], fg="cyan")

    def _note(self, match: re.Match[str]) -> str:
        return self._style(match[0], dim=True)

    def _style(self, text: str, **how: Any) -> str:
        return typer.style(text, **how) if self._colours else text


def _join(match: re.Match[str]) -> str:
    return match[0].replace(" ", _JOINT)


class Context(typer.Context):
    """A context whose help is written by `Formatter`."""

    formatter_class = Formatter


class Command(TyperCommand):
    """A command with our help."""

    context_class = Context


class Group(TyperGroup):
    """A group of commands with our help: commands stand under the headings that they were added with."""

    context_class = Context

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if not command.hidden:
                # the whole first sentence: typer cuts it where the line ends
                panels.setdefault(command.rich_help_panel or "Commands", []).append(
                    (name, (command.help or "").strip().partition("\n")[0])
                )
        width = max(len(name) for rows in panels.values() for name, _ in rows)
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl([(f"{name:{width}}", told) for name, told in rows])


class App(typer.Typer):
    """A typer application whose commands have our help."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=Group, rich_markup_mode=None, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Adds a command, like `typer.Typer.command`."""
        return super().command(name, cls=Command, **settings)
