"""The tables of `bdemo query`: which columns there are, and how a value is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from backend_demo.operations.query import Answer, Row


class _Column(NamedTuple):
    """A column on the screen, and the column of the rows that it shows."""

    heading: str
    shows: str
    text: Callable[[Any], str]


#: What a narrow terminal is spared, the first one first: half a number would be another number.
_DROPPED = ("age", "first", "average", "readings", "last", "count")


def table(answer: Answer, rows: Sequence[Row], title: str, console: Console) -> Table:
    """These rows of the answer, in as many columns as the console is wide enough for."""
    columns = _columns(answer)
    spared = [column for heading in _DROPPED for column in columns if column.heading == heading]
    shown = _table(answer, rows, title, columns)
    unlimited = console.options.update(width=10_000)
    while spared and console.measure(shown, options=unlimited).maximum > console.width:
        columns.remove(spared.pop(0))
        shown = _table(answer, rows, title, columns)
    return shown


def _table(answer: Answer, rows: Sequence[Row], title: str, columns: Sequence[_Column]) -> Table:
    shown = Table(
        title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", padding=(0, 1, 0, 0), pad_edge=False
    )
    found = [(answer.columns.index(column.shows), column) for column in columns]
    for _, column in found:
        shown.add_column(column.heading, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(*(column.text(row[index]) for index, column in found))
    return shown


def line(answer: Answer, row: Row) -> str:
    """A row as a line of text, its time first."""
    sensor, *cells = (column.text(row[answer.columns.index(column.shows)]) for column in _columns(answer))
    if answer.query == "sensors":
        return f"{sensor:>6}  {'  '.join(cells)}\n"
    values = [cell for cell, column in zip(cells, _columns(answer)[1:], strict=True) if column.heading != "age"]
    return f"{values[0]}  {sensor:>6}" + "".join(f"  {value:>8}" for value in values[1:]) + "\n"


def _columns(answer: Answer) -> list[_Column]:
    if answer.query == "sensors":
        return [
            _Column("sensor", "sensor", str),
            _Column("readings", "count", _whole),
            _Column("first", "first", _minute),
            _Column("last", "last", _minute),
            _Column("age", "last", _aged),
            _Column("°C", "last_value", _celsius),
            _Column("average", "last_average", _celsius),
        ]
    known = {
        "sensor": [_Column("sensor", "sensor", str)],
        "timestamp": [_Column("local time", "timestamp", local), _Column("age", "timestamp", _aged)],
        "value": [_Column("°C", "value", _celsius)],
        "from": [_Column("from", "from", partial(_second, zone=zone(answer)))],
        "count": [_Column("count", "count", _whole)],
    }
    return [found for name in answer.columns for found in known.get(name, [_Column(name, name, _celsius)])]


def zone(answer: Answer) -> tzinfo | None:
    """Of an answer's times; None: this machine's."""
    return ZoneInfo(answer.zone) if answer.zone else None


def local(timestamp: float, zone: tzinfo | None = None) -> str:
    """A time of the zone, or of this machine's, to the millisecond."""
    return datetime.fromtimestamp(timestamp, zone).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _second(timestamp: float, zone: tzinfo | None = None) -> str:
    return local(timestamp, zone)[:19]


def _minute(timestamp: float) -> str:
    return local(timestamp)[:16]


def _whole(value: int) -> str:
    return f"{value:,}"


def _celsius(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _aged(timestamp: float) -> str:
    return age(time.time() - timestamp)


def age(seconds: float) -> str:
    """How long ago, in two units at most."""
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
