"""Writes a batch to PostgreSQL: each reading and each average once, and the fence with them, in one transaction."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

import asyncpg

from backend_demo.domain.average import average
from backend_demo.domain.load import Averages, Key

Partition = tuple[str, int]
"""Topic and partition."""


#: From this many rows on, COPY is cheaper than `insert .. on conflict`: about a third of PostgreSQL's CPU a row.
COPY_ROWS = 200

#: For so many batches rows are told apart after a COPY that failed.
SPLIT_BATCHES = 64

#: Repairs computed by one query, so that the rows around them take little memory.
REPAIRS = 500


class FenceLost(Exception):
    """Another loader has moved the fence: this one was thought dead and must end."""


@dataclass
class Rows:
    """What a batch brings to the tables."""

    readings: dict[Key, float] = field(default_factory=dict)
    averages: Sequence[Averages] = ()
    """One after the other."""
    fence: Mapping[Partition, tuple[int, int]] = field(default_factory=dict)
    """By partition, the next offset as it was and as it becomes."""


@dataclass(frozen=True)
class Written:
    """What a transaction did."""

    inserted: int
    """New rows of temperature."""
    averages: int
    """Rows of average that are new or changed."""
    conflicts: Mapping[Key, float]
    """Readings that stand in the table with another value, and that value: it stays."""


class Copying:
    """Which rows go into a table by COPY: it fails as a whole when one row is there already.

    All rows do, until that fails. For a while then, a sensor's rows do that are newer than all before: neither a late
    reading nor an average that changes is among them.
    """

    def __init__(self) -> None:
        self._left = 0
        self._newest: dict[int, float] = {}

    def split(self, rows: Mapping[Key, float]) -> tuple[Mapping[Key, float], Mapping[Key, float]]:
        """The rows to copy and the others. Asked once a batch."""
        if not self._left:
            return (rows, {}) if len(rows) >= COPY_ROWS else ({}, rows)
        self._left -= 1
        newest, unknown = self._newest, math.inf
        copied = {key: value for key, value in rows.items() if key[1] > newest.get(key[0], unknown)}
        if len(copied) < COPY_ROWS:
            copied = {}
        for sensor, timestamp in rows:
            if timestamp > newest.get(sensor, 0.0):
                newest[sensor] = timestamp
        return copied, rows if not copied else {key: value for key, value in rows.items() if key not in copied}

    def failed(self) -> None:
        """A row was there already."""
        self._left = SPLIT_BATCHES
        self._newest.clear()


@dataclass(frozen=True)
class Tables:
    """What a writer has learnt about each table."""

    temperature: Copying = field(default_factory=Copying)
    average: Copying = field(default_factory=Copying)


async def write(
    connection: Any,
    rows: Rows,
    tables: Tables,
    *,
    window: int,
    on_conflicts: Callable[[Mapping[Key, float]], Awaitable[None]],
) -> Written:
    """One transaction. `on_conflicts` is awaited before the commit. Raises FenceLost, asyncpg's errors, OSError."""
    async with connection.transaction():
        await _move_fence(connection, rows.fence)
        inserted, conflicts = await _insert_readings(connection, rows.readings, tables.temperature)
        averages = await _merged(connection, rows.averages, window)
        changed = await _upsert_averages(connection, averages, tables.average)
        await on_conflicts(conflicts)
    return Written(inserted, changed, conflicts)


async def _move_fence(connection: Any, fence: Mapping[Partition, tuple[int, int]]) -> None:
    """Compare and set. Raises FenceLost."""
    moved = await connection.execute(
        """
        update fence set next_offset = new.next_offset
        from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) as new(topic, partition, was, next_offset)
        where fence.topic = new.topic and fence.partition = new.partition and fence.next_offset = new.was
        """,
        [topic for topic, _ in fence],
        [partition for _, partition in fence],
        [was for was, _ in fence.values()],
        [becomes for _, becomes in fence.values()],
    )
    if _count(moved) != len(fence):
        raise FenceLost


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


# a row of a binary COPY: three fields, each behind its length
_ROW = Struct(">hiqidid").pack
_COPY_HEADER, _COPY_TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"


async def _copy(connection: Any, table: str, rows: Mapping[Key, float], copying: Copying) -> bool:
    """Inserts rows that are all new; False, and nothing done, when one was there."""
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
    """The averages that stand in the end, those of the repairs computed."""
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
    """By repair, the averages that a very late reading makes or changes, from the readings around it."""
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
        values = [value for _, value in readings]
        computed[sensor, late] = {
            (sensor, timestamp): average(values[max(0, i + 1 - window) : i + 1])
            for i, (timestamp, _) in enumerate(readings)
            if timestamp >= late
        }
    return computed


async def read_fence(connection: Any, partitions: Sequence[Partition]) -> dict[Partition, int]:
    """The next offset of each partition; nothing for one that was never loaded."""
    rows = await connection.fetch(
        """
        select topic, partition, next_offset from fence
        join unnest($1::text[], $2::int[]) as wanted(topic, partition) using (topic, partition)
        """,
        [topic for topic, _ in partitions],
        [partition for _, partition in partitions],
    )
    return {(row[0], row[1]): row[2] for row in rows}


async def was_committed(connection: Any, rows: Rows) -> bool:
    """Whether a transaction whose answer was lost had been committed. Raises FenceLost."""
    now = await read_fence(connection, list(rows.fence))
    if rows.fence and all(now[partition] == becomes for partition, (_, becomes) in rows.fence.items()):
        return True
    if any(now[partition] != was for partition, (was, _) in rows.fence.items()):
        raise FenceLost
    return False


async def begin_fence(connection: Any, begins: Mapping[Partition, int]) -> None:
    """Puts the fence of these partitions where their log begins; never back, where another loader has moved it."""
    await connection.execute(
        """
        insert into fence (topic, partition, next_offset) select * from unnest($1::text[], $2::int[], $3::bigint[])
        on conflict (topic, partition) do update set next_offset = excluded.next_offset
        where fence.next_offset < excluded.next_offset
        """,
        [topic for topic, _ in begins],
        [partition for _, partition in begins],
        list(begins.values()),
    )


def _columns(rows: Mapping[Key, float]) -> tuple[list[int], list[float], list[float]]:
    return [sensor for sensor, _ in rows], [timestamp for _, timestamp in rows], list(rows.values())


def _count(status: str) -> int:
    """The number in PostgreSQL's command tag, as in `INSERT 0 12`."""
    return int(status.rsplit(" ", 1)[1])
