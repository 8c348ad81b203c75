"""Prints a query's answer again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from backend_demo.cli.console import Console
from backend_demo.cli.query.answer import row_set
from backend_demo.cli.query.options import TABLE_ROWS
from backend_demo.cli.query.picture import note, picture
from backend_demo.cli.query.rows import write
from backend_demo.cli.query.table import line
from backend_demo.cli.render import say
from backend_demo.errors import ServiceFailed, TimedOut

if TYPE_CHECKING:
    from backend_demo.cli.query.target import RowFormat
    from backend_demo.operations.query import Answer, AnswerRow


def watch(ask: Callable[[], Answer], row_format: RowFormat, *, limit: int | None, chart: bool, every_s: float) -> None:
    """Asks every `every_s` seconds, until interrupted.

    On a terminal, a table or chart is updated; else each new row is a line. While the gateway is away, it says so
    once and keeps asking.
    """
    answer = ask()
    if row_format == "table" and sys.stdout.isatty():
        _update_picture(answer, ask, limit, chart, every_s)
    else:
        _print_new_rows(answer, ask, row_format, limit or None, every_s)


def _update_picture(answer: Answer, ask: Callable[[], Answer], limit: int | None, chart: bool, every_s: float) -> None:
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        problem = ""
        while True:
            fits = max(1, console.height - 6)
            rows = answer.rows if chart else answer.rows[: min(limit or TABLE_ROWS, fits)]
            parts = [picture(answer, rows, console, chart=chart)] if rows else []
            notes = [text for text in (note(answer, rows), problem) if text]
            live.update(Group(*parts, *(Text.from_markup(text) for text in notes)), refresh=True)
            time.sleep(every_s)
            answer, problem = _again(answer, ask)


def _print_new_rows(
    answer: Answer, ask: Callable[[], Answer], row_format: RowFormat, limit: int | None, every_s: float
) -> None:
    known: dict[tuple[Any, ...], AnswerRow] = {}
    reported = ""
    header = row_format == "csv"
    identity = 1 if answer.query == "sensors" else 2  # a row is known by its sensor, or by its sensor and time
    while True:
        rows = answer.rows[:limit]
        fresh = [row for row in rows if known.get(row[:identity]) != row]
        known = {row[:identity]: row for row in rows}
        if answer.query != "sensors":
            fresh.sort(key=lambda row: row[1])
        if row_format == "table":
            sys.stdout.write("".join(line(answer, row) for row in fresh))
        elif fresh or header:
            cut = len(rows) < len(answer.rows)
            write(row_set(answer, [fresh], cut=cut), row_format, sys.stdout.buffer, header=header)
        header = False
        sys.stdout.flush()
        time.sleep(every_s)
        answer, problem = _again(answer, ask)
        if problem and problem != reported:
            say(problem)
        reported = problem


def _again(answer: Answer, ask: Callable[[], Answer]) -> tuple[Answer, str]:
    """The next answer and no problem; or the old answer, and why there is no new one."""
    try:
        return ask(), ""
    except (ServiceFailed, TimedOut) as problem:
        return answer, f"[yellow]{escape(problem.message)}; asking again[/]"
