"""Summaries of whole hours: which are stale, and how they are computed again from their rows.

Whoever changes rows notes their sensors and hours in `stale_hour`, in the same transaction. So in any state of the
database, an hour that is not in that list has the row that its readings come to, however late they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from backend_demo.domain.rollup import HOUR_S, Touched
from backend_demo.storage.selection import Series

#: From this long after its begin on, an hour may be summarised, seconds: it has ended, and most readings have arrived.
CLOSED_S = HOUR_S + 120.0

#: An hour is summarised when no row of it has come for this long, seconds.
QUIET_S = 10.0

#: Rows of `stale_hour` that may repeat others before they are merged.
REPEATED = 100

#: Hours taken from the list at a time.
HOURS = 100

#: Time limit of a statement of which nobody waits for the end, seconds: it may be about millions of rows.
LIMIT_S = 3600.0

#: Any number, the same in all loaders: one of them at a time summarises.
_LOCK = 0x6264656D6F

#: Sums of values up to this one cannot be beyond what a float holds.
SUMMED_MAX = "1e290"

_MARK = """
insert into stale_hour (series, hour, sensors)
select series, hour, array_agg(sensor) from unnest($1::text[], $2::bigint[], $3::float8[]) as new(series, sensor, hour)
group by series, hour returning (select kept_from from retention)
"""

_MERGE = """
with taken as (delete from stale_hour where $1 < (
  select count(*) - count(distinct (series, hour)) from stale_hour
) returning series, hour, sensors, since)
insert into stale_hour (series, hour, sensors, since)
select series, hour, array_agg(distinct sensor), max(since) from taken cross join lateral unnest(sensors) as sensor
group by series, hour
"""

_QUIET = """
select series, hour from stale_hour where hour < $1
group by series, hour having max(since) < now() - make_interval(secs => $2) order by hour limit $3
"""

# The order of the rows decides what a sum of floats comes to: always by time.
_SUMMARISE = """
with taken as (delete from stale_hour where series = '{series}' and hour = $1 returning sensors)
insert into {series}_hour (sensor_num, hour, count, sum, min, max, first, last)
select stale.sensor_num, $1, summary.* from (select distinct unnest(sensors) as sensor_num from taken) stale
cross join lateral (
  select count(*),
    case when max(abs(value)) <= {summed_max} then sum(value) filter (where abs(value) <= {summed_max}) end,
    min(value), max(value), (array_agg(value))[1], (array_agg(value))[count(*)]
  from (
    select value from {series}
    where sensor_num = stale.sensor_num and timestamp >= $1::float8 and timestamp < $1::float8 + {hour}
    order by timestamp
  ) ordered having count(*) > 0
) summary
on conflict (sensor_num, hour) do update set count = excluded.count, sum = excluded.sum, min = excluded.min,
  max = excluded.max, first = excluded.first, last = excluded.last
"""


async def mark(connection: Any, rows: Mapping[Series, Touched]) -> float:
    """Notes that rows of these sensors and hours are new or changed. Call it in their transaction.

    Returns the time from which on rows are kept (-inf: for ever): rows of earlier hours must not be added.
    """
    series = [name for name, (sensors, _) in rows.items() for _ in sensors]
    sensors = [sensor for touched, _ in rows.values() for sensor in touched]
    hours = [hour for _, touched in rows.values() for hour in touched]
    return float(await connection.fetchval(_MARK, series, sensors, hours)) if series else -math.inf


async def merge(connection: Any) -> None:
    """Makes one row of those that name the same hour, where there are many."""
    async with connection.transaction():
        if await alone(connection):
            await connection.execute(_MERGE, REPEATED)


async def quiet(connection: Any, before: float, *, quiet_s: float = QUIET_S) -> list[tuple[Series, float]]:
    """The oldest stale hours that began before then (epoch seconds) and have settled."""
    return [(row[0], row[1]) for row in await connection.fetch(_QUIET, before, quiet_s, HOURS)]


async def summarise(connection: Any, series: Series, hour: float) -> int | None:
    """Computes the rows of the hour's stale sensors; returns their number. None: another loader is summarising.

    Its one statement sees one state of the database. What is committed meanwhile brings a note of its own.
    """
    async with connection.transaction():
        if not await alone(connection):
            return None
        done = await connection.execute(
            _SUMMARISE.format(series=series, summed_max=SUMMED_MAX, hour=HOUR_S), float(hour), timeout=LIMIT_S
        )
    return int(done.rsplit(" ", 1)[1])


async def alone(connection: Any) -> bool:
    """Whether no other loader summarises until this transaction ends."""
    return bool(await connection.fetchval("select pg_try_advisory_xact_lock($1)", _LOCK))


async def delete_sensors(connection: Any, first: int, last: int) -> None:
    """Deletes all rows of these sensors, and their summaries; as the tables' owner."""
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        for table in ("temperature", "average", "temperature_hour", "average_hour"):
            await connection.execute(
                f"delete from {table} where sensor_num between $1 and $2",  # noqa: S608 - names of ours
                first,
                last,
            )
