"""Reads the newest row of one, several or all sensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import asyncpg

from backend_demo.domain.reading import Row
from backend_demo.storage.selection import Series

_LATEST = "select sensor_num, timestamp, value from {table} where sensor_num = $1 order by timestamp desc limit 1"

# in the order of the original's answers
_LATEST_WITH_ID = """
select id, timestamp, sensor_num, value from temperature where sensor_num = $1 order by timestamp desc limit 1
"""

_LATEST_OF_SOME = """
select newest.* from unnest($1::bigint[]) as wanted(sensor) cross join lateral (
  select sensor_num, timestamp, value from {table} where sensor_num = wanted.sensor order by timestamp desc limit 1
) newest order by newest.sensor_num
"""

# A loose index scan: from each sensor's newest row, one probe of the primary key, backwards, finds the newest row of
# the sensor below. 10,000 sensors among 2,000,000 rows: 30 ms; `distinct on` reads every row.
_LATEST_OF_ALL = """
with recursive newest as (
  (select sensor_num, timestamp, value from {table} order by sensor_num desc, timestamp desc limit 1)
  union all
  select below.* from newest cross join lateral (
    select sensor_num, timestamp, value from {table} where sensor_num < newest.sensor_num
    order by sensor_num desc, timestamp desc limit 1
  ) below
)
select * from (select * from newest limit $1) limited order by sensor_num
"""

_TABLES: tuple[Series, ...] = get_args(Series)


def _for_each(statement: str) -> dict[Series, str]:
    return {table: statement.format(table=table) for table in _TABLES}


_latest = _for_each(_LATEST)
_latest_of_some = _for_each(_LATEST_OF_SOME)
_latest_of_all = _for_each(_LATEST_OF_ALL)
_nothing = _for_each("select id, sensor_num, timestamp, value from {table} limit 0")


async def newest_time(connection: Any) -> float | None:
    """The time of the newest reading of all sensors, epoch seconds; None when there is none, or no table yet."""
    try:
        times = [row[1] for row in await connection.fetch(_latest_of_all["temperature"], None)]
    except asyncpg.UndefinedTableError:
        return None
    return max(times, default=None)


async def latest(connection: Any, series: Series, sensor: int) -> Row | None:
    """The sensor's newest row, by the sensor's time.

    Here and below, rows are asyncpg's records, which unpack like a Row: copying them would take a third more time.
    """
    row: Row | None = await connection.fetchrow(_latest[series], sensor)
    return row


async def latest_with_id(connection: Any, sensor: int) -> tuple[int, float, int, float] | None:
    """Id, timestamp, sensor number and value of the sensor's newest reading."""
    row: tuple[int, float, int, float] | None = await connection.fetchrow(_LATEST_WITH_ID, sensor)
    return row


async def latest_of(connection: Any, series: Series, sensors: Sequence[int]) -> list[Row]:
    """The newest row of each of these sensors that has one, by sensor."""
    rows: list[Row] = await connection.fetch(_latest_of_some[series], sorted(set(sensors)))
    return rows


async def latest_of_all(connection: Any, series: Series, limit: int) -> list[Row]:
    """The newest row of every sensor, by sensor; of the highest `limit` sensors when there are more."""
    rows: list[Row] = await connection.fetch(_latest_of_all[series], limit)
    return rows


async def check_tables(connection: Any) -> None:
    """Selects no rows from either table: raises when one is missing or lacks a column."""
    for table in _TABLES:
        await connection.fetch(_nothing[table])
