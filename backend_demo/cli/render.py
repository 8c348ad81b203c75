"""The one place that prints: results on stdout in the form that was asked for, messages and errors on stderr.

A result is a frozen dataclass or a TypedDict whose first field is `schema`, such as `Literal["bdemo.status/1"]`. Its
type stands in `schemas.py`, from which `docs/reference/schemas/` is generated. With `-o json` the result is one
document on stdout, and an error is `{"error": {"code", "message", "hint"}}` in its place.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import typer

from backend_demo.errors import BdemoError
from backend_demo.text import escaped, escaped_json, without_passwords

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from rich.console import RenderableType

Result = TypeVar("Result", bound="Mapping[str, Any] | DataclassInstance")

#: `-o json` in any of its spellings, also behind short flags: `-vo json`, `-ojson`, `--output=json`.
_OUTPUT = re.compile(r"(?:-[fhvwy]*o|--output(?==|$))=?(?P<form>.*)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table for people; columns whose name ends in `>` are aligned to the right. None is an empty cell."""

    columns: Sequence[str]
    rows: Iterable[Sequence[object]]
    title: str = ""


#: One line of text in pieces, each with its colour as typer knows it; None: the terminal's own.
Line: TypeAlias = "tuple[tuple[str, str | None], ...]"

#: What people see of a result, part by part. In all of them, what would steer the terminal is escaped.
View = Iterable["str | Line | Table | RenderableType"]


def show(result: Result, output: str, view: Callable[[Result], View], *, problem: BdemoError | None = None) -> None:
    """Prints a result, then raises `problem`, if the result is a bad one.

    As JSON both are one document: the problem is its key `error`, and only the exit code is raised.
    """
    if output == "json":
        print_json(plain(result) | ({} if problem is None else error_document(problem)))
        if problem is not None:
            raise typer.Exit(problem.exit_code)
        return
    print_parts(view(result))
    if problem is not None:
        raise problem


def print_parts(view: View) -> None:
    """Prints on stdout what people see. Imports rich only for what is not plain text: it takes 60 ms."""
    for part in view:
        if isinstance(part, str):
            typer.echo(escaped(part, keep="\n"))
        elif isinstance(part, tuple):
            typer.echo("".join(typer.style(escaped(text), fg=colour) for text, colour in part))
        else:
            _print_rich(part)


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout, indented on a terminal."""
    print(_json(document, indent=2 if sys.stdout.isatty() else None))


def print_line(document: Mapping[str, Any]) -> None:
    """One JSON document on one line of a stream, written at once."""
    print(_json(document), flush=True)


def say(text: str = "") -> None:
    """A message to the person: stderr, with rich markup."""
    from backend_demo.cli.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(text)


def say_quickly(text: str) -> None:
    """A message to the person, plain: importing rich in the middle of a run would hold that up."""
    typer.echo(text, err=True)


def report(problem: BdemoError, *, as_json: bool) -> None:
    """Prints an error: as one line of JSON on stdout, or as `error:` and `hint:` on stderr."""
    if as_json:
        print_line(error_document(problem))
        return
    from rich.text import Text

    from backend_demo.cli.console import Console

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    # a text from outside must not look like a line of ours: its further lines are indented
    console.print(Text.assemble(("error: ", "bold red"), problem.message.replace("\n", "\n  ")))
    if problem.hint:
        console.print(Text.assemble(("hint: ", "cyan"), problem.hint.replace("\n", "\n  ")))


def print_traceback(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
    """Prints an error that nothing caught on stderr: Python's hook for it, as `--debug` shows it."""
    import traceback

    text = without_passwords("".join(traceback.format_exception(kind, problem, trace)))
    print(escaped(text, keep="\n"), end="", file=sys.stderr)


def error_document(problem: BdemoError) -> dict[str, Any]:
    """The error as it stands in JSON."""
    return {"error": {"code": problem.code, "message": problem.message, "hint": problem.hint}}


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether this command line asks for JSON on stdout.

    It is read without the parser, so that also the error of a command line that cannot be parsed is JSON.
    """
    form = ""
    ahead = iter(arguments)
    for argument in ahead:
        if argument == "--":
            break
        if found := _OUTPUT.fullmatch(argument):
            form = found["form"] or next(ahead, "")
    return form == "json"


def plain(result: Mapping[str, Any] | DataclassInstance) -> dict[str, Any]:
    """The result as a document, its fields in order."""
    return dict(result) if isinstance(result, Mapping) else dataclasses.asdict(result)


def _json(document: Mapping[str, Any], indent: int | None = None) -> str:
    return escaped_json(json.dumps(document, default=_plain_value, indent=indent, ensure_ascii=False))


def _plain_value(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)


def _print_rich(part: Table | RenderableType) -> None:
    from backend_demo.cli.console import Console

    Console(highlight=False).print(_rich_table(part) if isinstance(part, Table) else part)


def _rich_table(table: Table) -> RenderableType:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        title=Text(escaped(table.title)) if table.title else None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
    )
    for column in table.columns:
        drawn.add_column(column.removesuffix(">"), justify="right" if column.endswith(">") else "left", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*("" if cell is None else Text(escaped(str(cell))) for cell in row))  # brackets are not markup
    return drawn


# -- the way before: goes with its last caller


def show_json(value: Any) -> None:
    """A result as one JSON document, indented on a terminal."""
    print_json(plain(value))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A result as a table on stdout; columns whose name ends in `>` stand to the right."""
    _print_rich(Table(columns, list(rows), title))
