"""The fence in the database: how far each partition is loaded. It moves in the transaction of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend_demo.domain.loading import Fence
from backend_demo.domain.topics import Partition


class FenceLost(Exception):
    """Another loader has moved the fence: this one was considered dead and must end."""


async def move_fence(connection: Any, moves: Mapping[Partition, tuple[int, int]]) -> None:
    """Moves the fence by compare-and-set. `moves`: the next offset before and after. Raises FenceLost."""
    moved = await connection.execute(
        """
        update fence set next_offset = new.next_offset
        from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) as new(topic, partition, was, next_offset)
        where fence.topic = new.topic and fence.partition = new.partition and fence.next_offset = new.was
        """,
        [topic for topic, _ in moves],
        [partition for _, partition in moves],
        [was for was, _ in moves.values()],
        [becomes for _, becomes in moves.values()],
    )
    if moved != f"UPDATE {len(moves)}":
        raise FenceLost


async def read_fence(connection: Any, partitions: Sequence[Partition]) -> dict[Partition, int]:
    """The next offset of each partition, except those that were never loaded."""
    rows = await connection.fetch(
        """
        select topic, partition, next_offset from fence
        join unnest($1::text[], $2::int[]) as wanted(topic, partition) using (topic, partition)
        """,
        [topic for topic, _ in partitions],
        [partition for _, partition in partitions],
    )
    return {(row[0], row[1]): row[2] for row in rows}


async def was_committed(connection: Any, moves: Mapping[Partition, tuple[int, int]]) -> bool:
    """Whether a transaction that moved the fence, and whose answer was lost, was committed. Raises FenceLost."""
    now = await read_fence(connection, list(moves))
    if moves and all(now[partition] == after for partition, (_, after) in moves.items()):
        return True
    if any(now[partition] != before for partition, (before, _) in moves.items()):
        raise FenceLost
    return False


async def set_fence(connection: Any, begins: Fence) -> None:
    """Sets the fence of these partitions; never back, where another loader has moved it further."""
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
