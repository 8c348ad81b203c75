"""Rows of several sensors in the order of the primary key: a page of them, or all, block by block."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from backend_demo.domain.load import Key
from backend_demo.storage.read import BLOCK, FIRST_BLOCK, Series

Row: TypeAlias = tuple[int, float, float]
"""sensor_num, timestamp, value."""


@dataclass(frozen=True)
class Selection:
    """Which rows."""

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


async def page(connection: Any, wanted: Selection, limit: int) -> tuple[list[Row], bool]:
    """The next rows, at most `limit`, and whether there are more."""
    query, parameters = _statement(wanted)
    rows = await connection.fetch(f"{query} limit {limit + 1:d}", *parameters)
    return rows[:limit], len(rows) > limit


async def blocks(connection: Any, wanted: Selection) -> AsyncGenerator[list[Row], None]:
    """All rows, from one snapshot."""
    query, parameters = _statement(wanted)
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(query, *parameters)
        size = FIRST_BLOCK
        while rows := await cursor.fetch(size):
            yield rows
            size = BLOCK


def _statement(wanted: Selection) -> tuple[str, Sequence[object]]:
    where, parameters = conditions(wanted)
    if wanted.after is not None:
        parameters += wanted.after
        sign = "<" if wanted.descending else ">"
        where += f" and (sensor_num, timestamp) {sign} (${len(parameters) - 1}::bigint, ${len(parameters)}::float8)"
    direction = "desc" if wanted.descending else "asc"
    query = f"""
        select sensor_num, timestamp, value from {wanted.series} where {where}
        order by sensor_num {direction}, timestamp {direction}
    """
    return query, parameters


def conditions(wanted: Selection) -> tuple[str, list[object]]:
    """Sensors and times, without `after`, as SQL and its parameters.

    Every condition is one of the primary key's index, whose order is that of the answer: no row is ever sorted. Without
    sensors PostgreSQL skips from one to the next (its skip scan, from version 18 on).
    """
    if not wanted.sensors:
        return "timestamp between $1 and $2", [wanted.start, wanted.end]
    where = "timestamp between $1 and $2 and sensor_num = any($3::bigint[])"
    return where, [wanted.start, wanted.end, sorted(set(wanted.sensors))]


@dataclass(frozen=True)
class Summary:
    """A sensor, in the tables."""

    sensor: int
    count: int
    """Readings."""
    first: float
    """Time of its first reading, epoch seconds."""
    last: float
    last_value: float
    last_average: float | None
    """At that reading; it follows the reading by some milliseconds."""


_SUMMARIES = """
select newest.sensor_num, counted.count, first.timestamp, newest.timestamp, newest.value, average.value
from unnest($1::bigint[]) as wanted(sensor)
cross join lateral (
  select sensor_num, timestamp, value from temperature
  where sensor_num = wanted.sensor order by timestamp desc limit 1
) newest
cross join lateral (
  select timestamp from temperature where sensor_num = wanted.sensor order by timestamp limit 1
) first
cross join lateral (select count(*) from temperature where sensor_num = wanted.sensor) counted
left join average on average.sensor_num = newest.sensor_num and average.timestamp = newest.timestamp
order by newest.sensor_num
"""

# as in read.py: from each sensor, one probe of the primary key finds the next
_SENSORS = """
with recursive known as (
  (select sensor_num from temperature where sensor_num > $1 order by sensor_num limit 1)
  union all
  select above.sensor_num from known cross join lateral (
    select sensor_num from temperature where sensor_num > known.sensor_num order by sensor_num limit 1
  ) above
)
select sensor_num from known limit $2
"""


async def sensors(connection: Any, after: int, limit: int) -> tuple[list[int], bool]:
    """The sensors with readings above the number `after`, at most `limit`, and whether there are more."""
    rows = await connection.fetch(_SENSORS, after, limit + 1)
    return [row[0] for row in rows[:limit]], len(rows) > limit


async def summaries(connection: Any, wanted: Sequence[int]) -> list[Summary]:
    """What the tables hold of these sensors, by sensor; nothing of one without readings."""
    return [Summary(*row) for row in await connection.fetch(_SUMMARIES, sorted(set(wanted)))]
