"""Reads pages of rows of several sensors, in the order of the primary key, and pages of the sensors themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backend_demo.described import described
from backend_demo.domain.reading import Row
from backend_demo.storage.ranges import snapshot
from backend_demo.storage.selection import Selection, statements


async def page(connection: Any, wanted: Selection, limit: int) -> tuple[list[Row], bool]:
    """The next rows, at most `limit`, and whether there are more."""
    rows: list[Row] = []
    async with snapshot(connection):
        for query, parameters in statements(wanted, "sensor_num, timestamp, value"):
            rows += await connection.fetch(f"{query} limit {limit + 1 - len(rows):d}", *parameters)
            if len(rows) > limit:
                break
    return rows[:limit], len(rows) > limit


@described
@dataclass(frozen=True)
class SensorSummary:
    """A sensor with readings."""

    sensor: int
    """Sensor number."""
    count: int
    """Number of readings."""
    first: float
    """Time of its first reading, epoch seconds."""
    last: float
    """Time of its newest reading, epoch seconds."""
    last_value: float
    """Value of its newest reading, degrees Celsius."""
    last_average: float | None
    """Average at its newest reading; it follows some milliseconds after it."""
    name: str | None
    """Its name, if it has one instead of a number."""


_SUMMARIES = """
select newest.sensor_num, counted.count, first.timestamp, newest.timestamp, newest.value, average.value, sensor.name
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
left join sensor on sensor.sensor_num = newest.sensor_num
order by newest.sensor_num
"""

# as in latest.py: from each sensor, one probe of the primary key finds the next
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


async def summaries(connection: Any, wanted: Sequence[int]) -> list[SensorSummary]:
    """Summaries of these sensors, by sensor; those without readings are left out."""
    return [SensorSummary(*row) for row in await connection.fetch(_SUMMARIES, sorted(set(wanted)))]
