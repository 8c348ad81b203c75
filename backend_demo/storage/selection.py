"""Which rows of the tables are wanted, and the SQL that finds them by the primary key."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from backend_demo.domain.loading import Key
from backend_demo.domain.names import SENSOR_MAX

Series = Literal["temperature", "average"]
"""The table that is read; both have the same columns."""


@dataclass(frozen=True)
class Selection:
    """Rows of a table, by sensor and time."""

    series: Series
    sensors: tuple[int, ...]
    """Empty: all."""
    start: float
    end: float
    """Epoch seconds, both included."""
    descending: bool = False
    """The highest sensor first, and its newest row."""
    after: Key | None = None
    """The last row of the page before."""


def statements(wanted: Selection, columns: str) -> Iterator[tuple[str, list[object]]]:
    """The queries whose rows, one query after the other, are the wanted ones in their order, with their parameters.

    After a page they are two: the rest of its last sensor, and the sensors behind that one. PostgreSQL would answer
    `(sensor_num, timestamp) > (..)` too, but would begin where the sensor does: a million rows took 3 s instead of 0.6.
    """
    if wanted.after is None:
        yield _statement(wanted, columns)
        return
    sensor, timestamp = wanted.after
    if wanted.descending:
        rest = replace(wanted, end=min(wanted.end, math.nextafter(timestamp, -math.inf)))
        lowest, highest = 0, sensor - 1
    else:
        rest = replace(wanted, start=max(wanted.start, math.nextafter(timestamp, math.inf)))
        lowest, highest = sensor + 1, SENSOR_MAX
    if rest.start <= rest.end:
        yield _statement(replace(rest, sensors=(sensor,)), columns)
    if not wanted.sensors and lowest <= highest:
        yield _statement(wanted, columns, f" and sensor_num between {lowest:d} and {highest:d}")
    elif behind := tuple(each for each in wanted.sensors if lowest <= each <= highest):
        yield _statement(replace(wanted, sensors=behind), columns)


def _statement(wanted: Selection, columns: str, further: str = "") -> tuple[str, list[object]]:
    where, parameters = conditions(wanted)
    direction = "desc" if wanted.descending else "asc"
    query = f"""
        select {columns} from {wanted.series} where {where}{further}
        order by sensor_num {direction}, timestamp {direction}
    """  # noqa: S608 - names of ours, values are parameters
    return query, parameters


def conditions(wanted: Selection) -> tuple[str, list[object]]:
    """Sensors and times, without `after`, as SQL and its parameters.

    Every condition is one of the primary key's index, whose order is that of the answer: no row is ever sorted. Without
    sensors PostgreSQL skips from one to the next (its skip scan, from version 18 on).
    """
    if not wanted.sensors:
        return "timestamp between $1::float8 and $2::float8", [wanted.start, wanted.end]
    where = "timestamp between $1::float8 and $2::float8 and sensor_num = any($3::bigint[])"
    return where, [wanted.start, wanted.end, sorted(set(wanted.sensors))]
