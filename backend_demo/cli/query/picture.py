"""An answer for people: as a table or a chart, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from backend_demo.cli.console import Console
from backend_demo.cli.query.chart import draw
from backend_demo.cli.query.options import TABLE_ROWS
from backend_demo.cli.query.table import local, sensor_title, table, zone
from backend_demo.cli.render import print_parts, say

if TYPE_CHECKING:
    from backend_demo.operations.query import Answer, AnswerRow

#: Rows below one heading: rich measures a whole table before it prints its first row.
TABLE_AT_ONCE = 1000
#: Height of a chart, lines.
CHART_LINES = 20
_TITLES = {"latest": "Newest readings", "range": "Readings", "average": "Averages", "sensors": "Sensors"}
#: From this number of sensors on, a title counts them instead of naming them.
_MANY_SENSORS = 6


def show(answer: Answer, *, limit: int | None = TABLE_ROWS, chart: bool = False) -> None:
    """Prints the answer on stdout, and on stderr what it leaves out. `limit`: rows at most; None: all."""
    rows = answer.rows[:limit]
    print_parts(_parts(answer, rows, chart))
    tell(note(answer, rows))


def _parts(answer: Answer, rows: Sequence[AnswerRow], chart: bool) -> Iterator[RenderableType]:
    console = Console(highlight=False)
    at_once = len(rows) if chart and rows else TABLE_AT_ONCE
    for begin in range(0, len(rows), at_once):
        yield picture(answer, rows[begin : begin + at_once], console, chart=chart)


def tell(text: str) -> None:
    """Prints a note on stderr, if there is one."""
    if text:
        say(text)


def note(answer: Answer, rows: Sequence[AnswerRow]) -> str:
    """What the reader may miss: that there are no rows, or more."""
    if not answer.rows and answer.start is None:
        return "no readings yet; try: [bold]bdemo simulate[/]"
    if not answer.rows:
        return nothing(answer)
    if len(rows) < len(answer.rows):
        return f"showing the first {len(rows):,} of {len(answer.rows):,}; use --limit 0 for all"
    if answer.complete:
        return ""
    if answer.query == "latest":
        return f"showing {len(rows):,} sensors, the most that the gateway returns at once"
    kind = "first" if answer.start is None else "newest" if answer.descending else "oldest"
    return f"showing the {kind} {len(rows):,}; use --limit 0 for all"


def nothing(answer: Answer) -> str:
    """That a range has no rows."""
    return f"no {_TITLES[answer.query].lower()} {escape(_range_in_words(answer))}; see: [bold]bdemo query sensors[/]"


def _range_in_words(answer: Answer) -> str:
    """For example `of sensor 1 since 2026-11-24 10:00:00`."""
    if answer.start is None:
        return ""
    asked = ", ".join(sensor_title(answer.names, sensor) for sensor in answer.sensors)
    sensors = f"sensor {asked}" if asked else "all sensors"
    if len(answer.sensors) >= _MANY_SENSORS:
        sensors = f"{len(answer.sensors)} sensors"
    begin = local(answer.start)[:19]
    times = f"since {begin}" if answer.end is None else f"from {begin} to {local(answer.end)[:19]}"
    return f"of {sensors} {times}"


def picture(answer: Answer, rows: Sequence[AnswerRow], console: Console, *, chart: bool) -> RenderableType:
    """The rows, at least one, as a table or a chart that fits the console."""
    title = f"{_TITLES[answer.query]} {_range_in_words(answer)}".strip()
    if not chart:
        return table(answer, rows, title, console)
    drawn = draw(
        rows,
        answer.columns,
        width=console.width,
        height=min(CHART_LINES, max(8, console.height - 4)),
        colour=console.color_system is not None,
        zone=zone(answer),
        title=partial(sensor_title, answer.names),
    )
    return Group(Text(f"{title}{_unit(answer)}", style="bold"), Text.from_ansi(drawn))


def _unit(answer: Answer) -> str:
    what = answer.columns[2]
    if what == "value":
        return ", °C"
    return f", {what} per bucket" + ("" if what == "count" else ", °C")
