"""Shows a query's answer again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from backend_demo.cli import query_print, query_show, query_table
from backend_demo.cli.output import say
from backend_demo.errors import ServiceFailed, TimedOut

if TYPE_CHECKING:
    from backend_demo.operations.query import Answer, Row


def watch(ask: Callable[[], Answer], form: str, *, limit: int | None, chart: bool, every_s: float) -> None:
    """Asks every `every_s` seconds, until interrupted.

    On a terminal a table or chart that changes; else a line for each row that is new. The gateway may be away for a
    while: that is told, and asked again.
    """
    answer = ask()
    if form == "table" and sys.stdout.isatty():
        _watch_picture(answer, ask, limit, chart, every_s)
    else:
        _watch_lines(answer, ask, form, limit, every_s)


def _watch_picture(answer: Answer, ask: Callable[[], Answer], limit: int | None, chart: bool, every_s: float) -> None:
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        problem = ""
        while True:
            fits = max(1, console.height - 6)
            rows = query_show.limited(answer, None if chart else min(limit or query_show.TABLE_ROWS, fits))
            parts = [query_show.picture(answer, rows, console, chart=chart)] if rows else []
            notes = [text for text in (query_show.note(answer, rows), problem) if text]
            live.update(Group(*parts, *(Text.from_markup(text) for text in notes)), refresh=True)
            time.sleep(every_s)
            answer, problem = _again(answer, ask)


def _watch_lines(answer: Answer, ask: Callable[[], Answer], form: str, limit: int | None, every_s: float) -> None:
    known: dict[tuple[Any, ...], Row] = {}
    told = ""
    header = form == "csv"
    identity = 1 if answer.query == "sensors" else 2  # of a row: its sensor, and its time
    while True:
        rows = query_show.limited(answer, limit)
        fresh = [row for row in rows if known.get(row[:identity]) != row]
        known = {row[:identity]: row for row in rows}
        if answer.query != "sensors":
            fresh.sort(key=lambda row: row[1])
        if form == "table":
            sys.stdout.write("".join(query_table.line(answer, row) for row in fresh))
        elif fresh or header:
            cut = len(rows) < len(answer.rows)
            query_print.write(form, answer, [fresh], sys.stdout.buffer, cut=cut, header=header)
        header = False
        sys.stdout.flush()
        time.sleep(every_s)
        answer, problem = _again(answer, ask)
        if problem and problem != told:
            say(problem)
        told = problem


def _again(answer: Answer, ask: Callable[[], Answer]) -> tuple[Answer, str]:
    """The next answer; the old one, and why, while there is none."""
    try:
        return ask(), ""
    except (ServiceFailed, TimedOut) as problem:
        return answer, f"[yellow]{problem.message}; asking again[/]"
