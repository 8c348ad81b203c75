"""Writes a batch to PostgreSQL in one transaction: each reading once, each average once, the fence, the stale hours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any

import asyncpg

from backend_demo.domain.average import averages_since
from backend_demo.domain.loading import Averages, Key, LoadPlan
from backend_demo.domain.rollup import Touched, touched
from backend_demo.storage import hours
from backend_demo.storage.copying import Copying, Tables
from backend_demo.storage.fence import move_fence
from backend_demo.storage.retention import TooOld
from backend_demo.storage.selection import Series

#: Most repairs computed by one query, so that the rows around them take little memory.
REPAIRS = 500


@dataclass(frozen=True)
class Written:
    """What a transaction did."""

    inserted: int
    """New rows of temperature."""
    averages: int
    """Rows of average that are new or changed."""
    conflicts: Mapping[Key, float]
    """Readings whose row has another value, and that value: it stays."""


async def write(
    connection: Any,
    plan: LoadPlan,
    tables: Tables,
    *,
    window: int,
    on_conflicts: Callable[[Mapping[Key, float]], Awaitable[None]],
) -> Written:
    """Runs the plan's transaction. Raises FenceLost, TooOld, asyncpg's errors, OSError.

    `window`: readings in an average; `on_conflicts` is awaited before the commit.
    """
    async with connection.transaction():
        await move_fence(connection, plan.fence, plan.topic_ids)
        inserted, conflicts = await _insert_readings(connection, plan.readings, tables.temperature)
        averages = await _merged(connection, plan.averages, window)
        changed = await _upsert_averages(connection, averages, tables.average)
        changes: dict[Series, Touched] = {"temperature": touched(plan.readings), "average": touched(averages)}
        kept_from = await hours.mark(connection, changes)
        if any(hour < kept_from for _, begins in changes.values() for hour in begins):
            raise TooOld(kept_from)
        await on_conflicts(conflicts)
    return Written(inserted, changed, conflicts)


async def _insert_readings(
    connection: Any, readings: Mapping[Key, float], copying: Copying
) -> tuple[int, Mapping[Key, float]]:
    copied, others = copying.split(readings)
    if copied and not await _copy(connection, "temperature", copied, copying):
        copied, others = {}, readings
    if not others:
        return len(copied), {}
    columns = _columns(others)
    inserted = _count(
        await connection.execute(
            """
            insert into temperature (sensor_num, timestamp, value)
            select * from unnest($1::bigint[], $2::float8[], $3::float8[])
            on conflict do nothing
            """,
            *columns,
        )
    )
    if inserted == len(others):
        return len(copied) + inserted, {}
    different = await connection.fetch(
        """
        select stored.sensor_num, stored.timestamp, stored.value
        from unnest($1::bigint[], $2::float8[], $3::float8[]) as new(sensor_num, timestamp, value)
        join temperature stored using (sensor_num, timestamp) where stored.value <> new.value
        """,
        *columns,
    )
    return len(copied) + inserted, {(row[0], row[1]): row[2] for row in different}


# a row of a binary COPY: three fields, each after its length
_ROW = Struct(">hiqidid").pack
_COPY_HEADER, _COPY_TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"


async def _copy(connection: Any, table: str, rows: Mapping[Key, float], copying: Copying) -> bool:
    """Inserts rows that are all new. Returns False, with nothing inserted, when one of them existed."""
    data = b"".join([_ROW(3, 8, sensor, 8, timestamp, 8, value) for (sensor, timestamp), value in rows.items()])
    try:
        async with connection.transaction():
            await connection.copy_to_table(
                table,
                source=_once(_COPY_HEADER + data + _COPY_TRAILER),
                columns=("sensor_num", "timestamp", "value"),
                format="binary",
            )
    except asyncpg.UniqueViolationError:
        copying.failed()
        return False
    return True


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _upsert_averages(connection: Any, averages: Mapping[Key, float], copying: Copying) -> int:
    copied, others = copying.split(averages)
    if copied and not await _copy(connection, "average", copied, copying):
        copied, others = {}, averages
    if not others:
        return len(copied)
    return len(copied) + _count(
        await connection.execute(
            """
            insert into average (sensor_num, timestamp, value)
            select * from unnest($1::bigint[], $2::float8[], $3::float8[])
            on conflict (sensor_num, timestamp) do update set value = excluded.value
            where average.value <> excluded.value
            """,
            *_columns(others),
        )
    )


async def _merged(connection: Any, steps: Sequence[Averages], window: int) -> Mapping[Key, float]:
    """The final average of each reading: those stored, and those that the repairs compute."""
    if len(steps) == 1:
        return steps[0].stored
    repairs = list({repair for step in steps for repair in step.repairs})
    computed: dict[Key, dict[Key, float]] = {}
    for begin in range(0, len(repairs), REPAIRS):
        computed |= await _repaired(connection, repairs[begin : begin + REPAIRS], window)
    merged: dict[Key, float] = {}
    for step in steps:
        merged |= step.stored
        for repair in step.repairs:
            merged |= computed[repair]
    return merged


async def _repaired(connection: Any, repairs: Sequence[Key], window: int) -> dict[Key, dict[Key, float]]:
    """The averages that each very late reading adds or changes, computed from the rows around it."""
    rows = await connection.fetch(
        """
        select number, around.timestamp, around.value
        from unnest($1::bigint[], $2::float8[]) with ordinality as late(sensor_num, timestamp, number)
        cross join lateral (
          (select timestamp, value from temperature
           where sensor_num = late.sensor_num and timestamp < late.timestamp order by timestamp desc limit $3 - 1)
          union all
          (select timestamp, value from temperature
           where sensor_num = late.sensor_num and timestamp >= late.timestamp order by timestamp limit $3)
        ) around
        order by number, around.timestamp
        """,
        [sensor for sensor, _ in repairs],
        [timestamp for _, timestamp in repairs],
        window,
    )
    around: dict[int, list[tuple[float, float]]] = {number: [] for number in range(1, len(repairs) + 1)}
    for number, timestamp, value in rows:
        around[number].append((timestamp, value))
    computed: dict[Key, dict[Key, float]] = {}
    for (sensor, late), readings in zip(repairs, around.values(), strict=True):
        averages = averages_since(late, readings, window=window)
        computed[sensor, late] = {(sensor, timestamp): value for timestamp, value in averages.items()}
    return computed


def _columns(rows: Mapping[Key, float]) -> tuple[list[int], list[float], list[float]]:
    return [sensor for sensor, _ in rows], [timestamp for _, timestamp in rows], list(rows.values())


def _count(status: str) -> int:
    """The number in PostgreSQL's command tag, as in `INSERT 0 12`."""
    return int(status.rsplit(" ", 1)[1])
