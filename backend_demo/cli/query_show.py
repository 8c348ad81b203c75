"""Prints what a query found: once, or again and again."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from backend_demo.cli import chart as terminal_chart
from backend_demo.cli.output import say
from backend_demo.errors import ServiceFailed, TimedOut

if TYPE_CHECKING:
    from backend_demo.domain.reading import Reading
    from backend_demo.operations.query import Answer

SCHEMA = "bdemo.query/1"
TABLE_ROWS = 20
CHART_ROWS = 20
_TITLES = {"latest": "Newest readings", "range": "Readings", "average": "Averages"}


def show(answer: Answer, output: str, *, limit: int | None, chart: bool) -> None:
    """Prints the answer on stdout, and on stderr what it leaves out."""
    rows = _limited(answer, limit if limit is not None or output != "table" or chart else TABLE_ROWS)
    if output == "json":
        _print_json(
            _document(answer, rows, cut=len(rows) < len(answer.rows)), indent=2 if sys.stdout.isatty() else None
        )
    elif output == "csv":
        _print_csv(rows, header=True)
    elif rows:
        console = Console(highlight=False)
        console.print(_picture(answer, rows, console, chart=chart))
    note = _note(answer, rows)
    if note:
        say(note)


def watch(
    answer: Answer, ask: Callable[[], Answer], output: str, *, limit: int | None, chart: bool, every_s: float
) -> None:
    """Shows the answer and, every `every_s` seconds, the next one, until interrupted.

    On a terminal a table or chart that changes; else a line for each row that is new. The gateway may be away for a
    while: that is told, and asked again.
    """
    if output == "table" and sys.stdout.isatty():
        _watch_picture(answer, ask, limit, chart, every_s)
    else:
        _watch_lines(answer, ask, output, limit, every_s)


def _watch_picture(answer: Answer, ask: Callable[[], Answer], limit: int | None, chart: bool, every_s: float) -> None:
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        problem = ""
        while True:
            fits = max(1, console.height - 6)
            rows = _limited(answer, None if chart else min(limit or TABLE_ROWS, fits))
            parts = [_picture(answer, rows, console, chart=chart)] if rows else []
            notes = [note for note in (_note(answer, rows), problem) if note]
            live.update(Group(*parts, *(Text.from_markup(note) for note in notes)), refresh=True)
            time.sleep(every_s)
            answer, problem = _again(answer, ask)


def _watch_lines(answer: Answer, ask: Callable[[], Answer], output: str, limit: int | None, every_s: float) -> None:
    known: dict[tuple[int, float], float] = {}
    told = ""
    header = True
    while True:
        rows = _limited(answer, limit)
        fresh = [row for row in rows if known.get((row.sensor, row.timestamp)) != row.value]
        known = {(row.sensor, row.timestamp): row.value for row in rows}
        fresh.sort(key=lambda row: row.timestamp)
        if output == "csv":
            _print_csv(fresh, header=header)
        elif output == "json" and fresh:
            _print_json(_document(answer, fresh, cut=len(rows) < len(answer.rows)))
        elif output == "table":
            for row in fresh:
                sys.stdout.write(f"{_local(row.timestamp)}  {row.sensor:>6}  {row.value:>8.2f}\n")
        sys.stdout.flush()
        header = False
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


def _limited(answer: Answer, limit: int | None) -> Sequence[Reading]:
    return answer.rows[:limit] if limit else answer.rows


def _note(answer: Answer, rows: Sequence[Reading]) -> str:
    """What the reader may miss: that there is nothing, or more."""
    if not answer.rows and answer.query == "latest":
        return "no readings yet; try: [bold]bdemo simulate[/]"
    if not answer.rows:
        return f"nothing {_words(answer)}; see: [bold]bdemo query latest[/]"
    if len(rows) < len(answer.rows):
        kind = "first" if answer.query == "latest" else "newest"
        return f"the {kind} {len(rows):,} of {len(answer.rows):,}; all with --limit 0"
    return "" if answer.complete else f"the gateway gives no more than {len(rows):,} sensors at once"


def _words(answer: Answer) -> str:
    """The range in words: `of sensor 1 since 2026-11-24 10:00:00`."""
    if answer.start is None:
        return ""
    sensors = ", ".join(map(str, answer.sensors))
    begin = _local(answer.start)[:19]
    times = f"since {begin}" if answer.end is None else f"from {begin} to {_local(answer.end)[:19]}"
    return f"of sensor {sensors} {times}"


def _picture(answer: Answer, rows: Sequence[Reading], console: Console, *, chart: bool) -> RenderableType:
    title = f"{_TITLES[answer.query]} {_words(answer)}".strip()
    if chart:
        height = min(CHART_ROWS, max(8, console.height - 4))
        drawn = terminal_chart.draw(rows, width=console.width, height=height, colour=console.color_system is not None)
        return Group(Text(f"{title}, °C", style="bold"), Text.from_ansi(drawn))
    return _table(answer, rows, title)


def _table(answer: Answer, rows: Sequence[Reading], title: str) -> Table:
    from rich import box

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("sensor", justify="right")
    table.add_column("local time", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("°C", justify="right", no_wrap=True)
    now = time.time()
    for row in rows:
        table.add_row(str(row.sensor), _local(row.timestamp), _age(now - row.timestamp), f"{row.value:.2f}")
    return table


def _document(answer: Answer, rows: Sequence[Reading], *, cut: bool) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "query": answer.query,
        "sensors": list(answer.sensors),
        "from": answer.start,
        "to": answer.end,
        "rows": [
            {"sensor": row.sensor, "timestamp": row.timestamp, "time": _utc(row.timestamp), "value": row.value}
            for row in rows
        ],
        "truncated": cut or not answer.complete,
    }


def _print_json(document: dict[str, Any], indent: int | None = None) -> None:
    sys.stdout.write(json.dumps(document, indent=indent) + "\n")


def _print_csv(rows: Iterable[Reading], *, header: bool) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if header:
        writer.writerow(("sensor", "timestamp", "time", "value"))
    writer.writerows((row.sensor, row.timestamp, _utc(row.timestamp), row.value) for row in rows)


def _local(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _utc(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _age(seconds: float) -> str:
    if seconds < 0:
        return f"in {-seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds) // 60
    if minutes < 60:
        return f"{minutes} min {int(seconds) % 60} s"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // (24 * 60)} d {minutes // 60 % 24} h"
