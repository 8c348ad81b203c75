"""Prints what a query found on the screen: as a table or a chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.text import Text

from backend_demo.cli import chart as terminal_chart
from backend_demo.cli import query_table
from backend_demo.cli.output import say

if TYPE_CHECKING:
    from backend_demo.operations.query import Answer, Row

TABLE_ROWS = 20
#: Rows below one heading: rich measures all of a table before it shows its first.
TABLE_AT_ONCE = 1000
CHART_ROWS = 20
_TITLES = {"latest": "Newest readings", "range": "Readings", "average": "Averages", "sensors": "Sensors"}
_MANY_SENSORS = 6


def show(answer: Answer, *, limit: int | None = None, chart: bool = False) -> None:
    """Prints the answer on stdout, and on stderr what it leaves out. `limit`: rows of a table; 0: all."""
    rows = limited(answer, TABLE_ROWS if limit is None and not chart else limit)
    console = Console(highlight=False)
    for begin in range(0, len(rows), len(rows) if chart and rows else TABLE_AT_ONCE):
        console.print(picture(answer, rows if chart else rows[begin : begin + TABLE_AT_ONCE], console, chart=chart))
    tell(note(answer, rows))


def limited(answer: Answer, limit: int | None) -> Sequence[Row]:
    """The first rows; with a limit of 0 or None, all."""
    return answer.rows[:limit] if limit else answer.rows


def tell(text: str) -> None:
    """A note, if there is one."""
    if text:
        say(text)


def note(answer: Answer, rows: Sequence[Row]) -> str:
    """What the reader may miss: that there is nothing, or more."""
    if not answer.rows and answer.start is None:
        return "no readings yet; try: [bold]bdemo simulate[/]"
    if not answer.rows:
        return nothing(answer)
    if len(rows) < len(answer.rows):
        return f"the first {len(rows):,} of {len(answer.rows):,}; all with --limit 0"
    if answer.complete:
        return ""
    if answer.query == "latest":
        return f"the gateway gives no more than {len(rows):,} sensors at once"
    kind = "first" if answer.start is None else "newest" if answer.descending else "oldest"
    return f"the {kind} {len(rows):,}, and there are more; all with --limit 0"


def nothing(answer: Answer) -> str:
    """That a range has no rows."""
    return f"nothing {words(answer)}; see: [bold]bdemo query sensors[/]"


def words(answer: Answer) -> str:
    """The range in words: `of sensor 1 since 2026-11-24 10:00:00`."""
    if answer.start is None:
        return ""
    sensors = f"sensor {', '.join(map(str, answer.sensors))}" if answer.sensors else "all sensors"
    if len(answer.sensors) >= _MANY_SENSORS:
        sensors = f"{len(answer.sensors)} sensors"
    begin = query_table.local(answer.start)[:19]
    times = f"since {begin}" if answer.end is None else f"from {begin} to {query_table.local(answer.end)[:19]}"
    return f"of {sensors} {times}"


def picture(answer: Answer, rows: Sequence[Row], console: Console, *, chart: bool) -> RenderableType:
    """The rows, of which there is at least one, as a table or a chart that fits the console."""
    title = f"{_TITLES[answer.query]} {words(answer)}".strip()
    if chart:
        drawn = terminal_chart.draw(
            rows,
            answer.columns,
            width=console.width,
            height=min(CHART_ROWS, max(8, console.height - 4)),
            colour=console.color_system is not None,
            zone=query_table.zone(answer),
        )
        return Group(Text(f"{title}{_drawn(answer)}", style="bold"), Text.from_ansi(drawn))
    return query_table.table(answer, rows, title, console)


def _drawn(answer: Answer) -> str:
    what = answer.columns[2]
    if what == "value":
        return ", °C"
    return f", {what} of a bucket" + ("" if what == "count" else ", °C")
