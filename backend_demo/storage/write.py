"""Writes a batch to PostgreSQL: each reading and each average once, and the fence with them, in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

import asyncpg

from backend_demo.domain.average import average
from backend_demo.domain.steps import Averages, Key

Partition = tuple[str, int]
"""Topic and partition."""


#: From this many rows on, COPY is cheaper than `insert .. on conflict`: about a third of PostgreSQL's CPU a row.
COPY_ROWS = 200


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
    """Whether COPY straight into a table is worth trying: it fails as a whole when one row is there already."""

    def __init__(self) -> None:
        self._pause = 0
        self._left = 0

    def worth(self, rows: int) -> bool:
        """Asked once a batch. After a failure it is not tried for a while, after several for longer."""
        if rows < COPY_ROWS:
            return False
        self._left = max(0, self._left - 1)
        return self._left == 0

    def worked(self, did: bool) -> None:
        """What came of it."""
        self._pause = 0 if did else min(64, self._pause * 2 or 4)
        self._left = self._pause


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
        changed = 0
        for averages in rows.averages:
            changed += await _upsert_averages(connection, averages.stored, tables.average)
            for sensor, timestamp in averages.repairs:
                changed += await _repair(connection, sensor, timestamp, window, tables.average)
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
    if not readings:
        return 0, {}
    if copying.worth(len(readings)) and await _copy(connection, "temperature", readings, copying):
        return len(readings), {}
    columns = _columns(readings)
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
    if inserted == len(readings):
        return inserted, {}
    different = await connection.fetch(
        """
        select stored.sensor_num, stored.timestamp, stored.value
        from unnest($1::bigint[], $2::float8[], $3::float8[]) as new(sensor_num, timestamp, value)
        join temperature stored using (sensor_num, timestamp) where stored.value <> new.value
        """,
        *columns,
    )
    return inserted, {(row[0], row[1]): row[2] for row in different}


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
        copying.worked(False)
        return False
    copying.worked(True)
    return True


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _upsert_averages(connection: Any, averages: Mapping[Key, float], copying: Copying) -> int:
    if not averages:
        return 0
    if copying.worth(len(averages)) and await _copy(connection, "average", averages, copying):
        return len(averages)
    return _count(
        await connection.execute(
            """
            insert into average (sensor_num, timestamp, value)
            select * from unnest($1::bigint[], $2::float8[], $3::float8[])
            on conflict (sensor_num, timestamp) do update set value = excluded.value
            where average.value <> excluded.value
            """,
            *_columns(averages),
        )
    )


async def _repair(connection: Any, sensor: int, timestamp: float, window: int, copying: Copying) -> int:
    """Computes the averages that a very late reading makes or changes, from the readings around it."""
    around = await connection.fetch(
        """
        (select timestamp, value from temperature where sensor_num = $1 and timestamp < $2
         order by timestamp desc limit $3 - 1)
        union all
        (select timestamp, value from temperature where sensor_num = $1 and timestamp >= $2
         order by timestamp limit $3)
        order by 1
        """,
        sensor,
        timestamp,
        window,
    )
    values = [row[1] for row in around]
    averages = {
        (sensor, row[0]): average(values[max(0, i + 1 - window) : i + 1])
        for i, row in enumerate(around)
        if row[0] >= timestamp
    }
    return await _upsert_averages(connection, averages, copying)


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
    """Puts the fence of these partitions where their log begins."""
    await connection.execute(
        """
        insert into fence (topic, partition, next_offset) select * from unnest($1::text[], $2::int[], $3::bigint[])
        on conflict (topic, partition) do update set next_offset = excluded.next_offset
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
