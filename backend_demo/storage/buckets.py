"""Aggregates the rows of several sensors by buckets of time that follow the calendar of a time zone.

A bucket is made of parts: its rows of each hour (UTC), summarised in the order of time. A whole hour that is in one
bucket, and not stale, has its part in `temperature_hour` or `average_hour`; all others are computed from the rows.
Both ways make the same parts of the same rows, so it is never visible which was taken. Of a time whose rows retention
has dropped, there are whole hours only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import asyncpg

from backend_demo.domain.bucket import AggregateName, Bucket
from backend_demo.domain.rollup import HOUR_S
from backend_demo.storage.selection import Selection

#: What a part holds for each aggregate, how it is computed from rows in order, and the bucket's value from its parts.
_OF_PARTS: dict[AggregateName, str] = {
    "mean": "sum(part.sum order by hour) / sum(part.count)::float8",
    "min": "min(part.min)",
    "max": "max(part.max)",
    "count": "sum(part.count)::bigint",
    "first": "(array_agg(part.first order by hour))[1]",
    "last": "(array_agg(part.last order by hour desc))[1]",
}
_OF_ROWS = {
    "count": "count(*)",
    "sum": "sum(value order by timestamp)",  # avg() sums the squares too, and fails from 1e154 on
    "min": "min(value)",
    "max": "max(value)",
    "first": "(array_agg(value order by timestamp))[1]",
    "last": "(array_agg(value order by timestamp desc))[1]",
}

#: Number of sensors in the first query for a page; each further one takes twice as many as the one before.
_SENSORS, _SENSORS_MAX = 4, 128

#: Times beyond these are those of no reading.
_EARLIEST, _LATEST = -1e12, 1e12

# `whole`: the hours whose part is stored. `ranges`: what lies before, between and behind them, of each sensor.
_PAGE = """
with stale as materialized (
  select distinct sensor_num, hour from stale_hour cross join lateral unnest(sensors) as sensor_num
  where series = '{series}' and hour >= $5::float8 and hour < $6::float8 and sensor_num = any($3)
),
known as materialized (
  select * from {series}_hour
  where sensor_num = any($3) and hour >= $5::float8 and hour < $6::float8 and sum is not null
),
present as materialized (select distinct hour from known),
fitting as materialized (
  select hour, extract(epoch from begin)::float8 as begin from (
    select hour, {begin_of_hour} as begin, {begin_of_last} as until from present
  ) hours where begin = until
),
whole as materialized (
  select known.*, begin from known join fitting using (hour)
  where not exists (select from stale where stale.sensor_num = known.sensor_num and stale.hour = known.hour)
),
ranges as (
  select sensor_num, since, until from (
    select sensor_num, hour + {hour} as since,
      lead(hour, 1, 'infinity') over (partition by sensor_num order by hour) as until
    from whole
  ) behind where since < until
  union all
  select sensor, '-infinity', coalesce(first.hour, 'infinity') from unnest($3::bigint[]) sensor
  left join (select sensor_num, min(hour) as hour from whole group by 1) first on sensor_num = sensor
),
part as (
  select sensor_num, begin, hour, {columns} from whole
  union all
  select ranges.sensor_num, extract(epoch from begin)::float8, hour, {columns} from ranges cross join lateral (
    select {begin_of_row} as begin, floor(timestamp / {hour}) * {hour} as hour, {computed} from {series}
    where sensor_num = ranges.sensor_num and timestamp >= ranges.since and timestamp < ranges.until
      and timestamp between greatest($1::float8, (select dropped_to from retention)) and $2::float8
    group by 1, 2
  ) summary
)
select * from (
  select sensor_num, begin, {aggregates} from part group by sensor_num, begin
) buckets {having} order by sensor_num {direction}, begin {direction} limit {limit}
"""

# as in latest.py: from each sensor, one probe of the primary key finds the next
_NEXT = """
with recursive known as (
  (select sensor_num from {table} where sensor_num {sign} $1 order by sensor_num {direction} limit 1)
  union all
  select further.sensor_num from known cross join lateral (
    select sensor_num from {table} where sensor_num {sign} known.sensor_num order by sensor_num {direction} limit 1
  ) further
)
(select sensor_num from known limit $2)
"""


# a year of a hundred sensors is a million hours, which are sorted
_SESSION = "set local jit = off; set local max_parallel_workers_per_gather = 0; set local work_mem = '32MB'"


class MeanTooLarge(Exception):
    """The sum of a bucket's values is beyond what a float holds."""


async def page(
    connection: Any, wanted: Selection, size: Bucket, aggregates: Sequence[AggregateName], zone: str, limit: int
) -> tuple[list[tuple[Any, ...]], bool]:
    """The next buckets that are not empty, at most `limit`, and whether there are more.

    Each row is sensor_num, the bucket's begin (epoch seconds) and the aggregates. `wanted.after`: the last bucket of
    the previous page. `zone`: an IANA time zone that PostgreSQL knows. Raises MeanTooLarge.
    """
    rows: list[tuple[Any, ...]] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_SESSION)
        of, many = wanted.after, _SENSORS
        sensors = await _sensors(connection, wanted, None if of is None else of[0], many, including=True)
        while sensors:
            left = limit + 1 - len(rows)
            try:
                rows += await _of(connection, wanted, sensors, size, aggregates, zone, left)
            except asyncpg.NumericValueOutOfRangeError as problem:
                raise MeanTooLarge from problem
            if len(rows) > limit:
                break
            many = min(2 * many, _SENSORS_MAX)
            sensors = await _sensors(connection, wanted, sensors[-1], many)
    return rows[:limit], len(rows) > limit


async def _sensors(
    connection: Any, wanted: Selection, after: int | None, many: int, *, including: bool = False
) -> list[int]:
    """The next sensors that may have buckets, at most `many`, in the order of the answer.

    `including`: also `after` itself.
    """
    sign = "<" if wanted.descending else ">"
    if including and after is not None:
        return [after, *await _sensors(connection, wanted, after, many - 1)]
    if wanted.sensors:
        order = sorted(set(wanted.sensors), reverse=wanted.descending)
        return [each for each in order if after is None or (each < after if wanted.descending else each > after)][:many]
    begin = after if after is not None else (2**63 - 1 if wanted.descending else -1)
    direction = "desc" if wanted.descending else "asc"
    tables = (wanted.series, f"{wanted.series}_hour")  # retention may have left one of them only
    found = " union ".join("(" + _NEXT.format(table=table, sign=sign, direction=direction) + ")" for table in tables)
    rows = await connection.fetch(f"{found} order by 1 {direction} limit $2", begin, many)
    return [row[0] for row in rows]


async def _of(
    connection: Any,
    wanted: Selection,
    sensors: Sequence[int],
    size: Bucket,
    aggregates: Sequence[AggregateName],
    zone: str,
    limit: int,
) -> list[tuple[Any, ...]]:
    """The next buckets of these sensors, at most `limit`."""
    first, behind = _whole_hours(wanted, size)
    parameters = [wanted.start, wanted.end, list(sensors), zone, first, behind]
    having = ""
    if wanted.after is not None:
        parameters += wanted.after
        having = f"where (sensor_num, begin) {'<' if wanted.descending else '>'} ($7::bigint, $8::float8)"
    query = _PAGE.format(
        series=wanted.series,
        hour=HOUR_S,
        begin_of_hour=_begin(size, "to_timestamp(hour)"),
        begin_of_last=_begin(size, f"to_timestamp(hour + {HOUR_S - 1e-6})"),
        begin_of_row=_begin(size, "to_timestamp(timestamp)"),
        columns=", ".join(_columns(aggregates)),
        computed=", ".join(f"{_OF_ROWS[column]} as {column}" for column in _columns(aggregates)),
        aggregates=", ".join(_OF_PARTS[each] for each in aggregates),
        having=having,
        direction="desc" if wanted.descending else "asc",
        limit=limit,
    )
    return [tuple(row) for row in await connection.fetch(query, *parameters)]


def _columns(aggregates: Sequence[AggregateName]) -> list[str]:
    """What the parts must hold."""
    needed = itertools.chain.from_iterable(("sum", "count") if each == "mean" else (each,) for each in aggregates)
    return list(dict.fromkeys(needed))


def _begin(size: Bucket, time: str) -> str:
    """SQL for the begin of the bucket that holds this time."""
    midnight = f"date_trunc('{size.unit}', {time}, $4)"
    return midnight if size.seconds is None else f"date_bin('{size.seconds} seconds', {time}, {midnight})"


def _whole_hours(wanted: Selection, size: Bucket) -> tuple[float, float]:
    """The first hour that is within the range as a whole, and the one behind the last."""
    start, end = max(wanted.start, _EARLIEST), min(wanted.end, _LATEST)
    if size.seconds is not None and size.seconds < HOUR_S:
        return 0.0, 0.0  # none is in one bucket
    return math.ceil(start / HOUR_S) * HOUR_S, math.floor(end / HOUR_S) * HOUR_S
