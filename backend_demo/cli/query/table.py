"""The tables of `bdemo query`: their columns, and how values are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from rich import box
from rich.table import Table
from rich.text import Text

from backend_demo.cli.console import Console
from backend_demo.text import age, escaped

if TYPE_CHECKING:
    from backend_demo.operations.query import Answer, AnswerRow


class _TableColumn(NamedTuple):
    """A column of the table, and the column of the answer that it shows."""

    heading: str
    shows: str
    text: Callable[[Any], str]


#: Columns left out on a narrow terminal, the first one first: a number that is cut would be another number.
_OPTIONAL = ("age", "first", "average", "readings", "last", "count")


def table(answer: Answer, rows: Sequence[AnswerRow], title: str, console: Console) -> Table:
    """These rows of the answer, in as many columns as fit the console."""
    columns = _columns(answer)
    optional = [column for heading in _OPTIONAL for column in columns if column.heading == heading]
    shown = _table(answer, rows, title, columns)
    unlimited = console.options.update(width=10_000)
    while optional and console.measure(shown, options=unlimited).maximum > console.width:
        columns.remove(optional.pop(0))
        shown = _table(answer, rows, title, columns)
    return shown


def _table(answer: Answer, rows: Sequence[AnswerRow], title: str, columns: Sequence[_TableColumn]) -> Table:
    shown = Table(
        title=Text(escaped(title)),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    found = [(answer.columns.index(column.shows), column) for column in columns]
    for _, column in found:
        shown.add_column(column.heading, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(*(Text(column.text(row[index])) for index, column in found))
    return shown


def line(answer: Answer, row: AnswerRow) -> str:
    """A row as a line of text, which starts with its time; that of a sensor with its number."""
    sensor, *cells = (column.text(row[answer.columns.index(column.shows)]) for column in _columns(answer))
    if answer.query == "sensors":
        return f"{sensor:>6}  {'  '.join(cells)}\n"
    values = [cell for cell, column in zip(cells, _columns(answer)[1:], strict=True) if column.heading != "age"]
    return f"{values[0]}  {sensor:>6}" + "".join(f"  {value:>8}" for value in values[1:]) + "\n"


def _columns(answer: Answer) -> list[_TableColumn]:
    if answer.query == "sensors":
        return [
            _TableColumn("sensor", "sensor", partial(sensor_title, answer.names)),
            _TableColumn("readings", "count", _whole),
            _TableColumn("first", "first", _minute),
            _TableColumn("last", "last", _minute),
            _TableColumn("age", "last", _aged),
            _TableColumn("°C", "last_value", _celsius),
            _TableColumn("average", "last_average", _celsius),
        ]
    known = {
        "sensor": [_TableColumn("sensor", "sensor", partial(sensor_title, answer.names))],
        "timestamp": [_TableColumn("local time", "timestamp", local), _TableColumn("age", "timestamp", _aged)],
        "value": [_TableColumn("°C", "value", _celsius)],
        "from": [_TableColumn("from", "from", partial(_second, zone=zone(answer)))],
        "count": [_TableColumn("count", "count", _whole)],
    }
    return [found for name in answer.columns for found in known.get(name, [_TableColumn(name, name, _celsius)])]


def sensor_title(names: Mapping[int, str], sensor: int) -> str:
    """The sensor's name, or its number."""
    name = names.get(sensor)
    return str(sensor) if name is None else escaped(name)


def zone(answer: Answer) -> tzinfo | None:
    """Time zone of an answer's times; None: this machine's."""
    return ZoneInfo(answer.zone) if answer.zone else None


def local(timestamp: float, zone: tzinfo | None = None) -> str:
    """The time in the zone, or in this machine's, with milliseconds."""
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
