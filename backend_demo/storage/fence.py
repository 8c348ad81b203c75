"""The fence in the database: how far each partition is loaded. It moves in the transaction of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from backend_demo.domain.fence import FenceRow
from backend_demo.domain.topics import Partition


class FenceLost(Exception):
    """Another loader has moved the fence: this one was considered dead and must end."""


async def move_fence(
    connection: Any, moves: Mapping[Partition, tuple[int, int]], topic_ids: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Moves the fence by compare-and-set. `moves`: the next offset before and after. Raises FenceLost."""
    moved = await connection.execute(
        """
        update fence set next_offset = new.next_offset
        from unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::bigint[])
          as new(topic, partition, topic_id, was, next_offset)
        where (fence.topic, fence.partition, fence.topic_id, fence.next_offset)
          = (new.topic, new.partition, new.topic_id, new.was)
        """,
        [topic for topic, _ in moves],
        [partition for _, partition in moves],
        [topic_ids.get(topic, "") for topic, _ in moves],
        [was for was, _ in moves.values()],
        [becomes for _, becomes in moves.values()],
    )
    if moved != f"UPDATE {len(moves)}":
        raise FenceLost


async def read_fence(connection: Any, partitions: Sequence[Partition]) -> dict[Partition, FenceRow]:
    """The fence of each partition, except those that were never loaded."""
    rows = await connection.fetch(
        """
        select topic, partition, next_offset, topic_id from fence
        join unnest($1::text[], $2::int[]) as wanted(topic, partition) using (topic, partition)
        """,
        [topic for topic, _ in partitions],
        [partition for _, partition in partitions],
    )
    return {(row[0], row[1]): FenceRow(row[2], row[3]) for row in rows}


async def was_committed(
    connection: Any, moves: Mapping[Partition, tuple[int, int]], topic_ids: Mapping[str, str] = MappingProxyType({})
) -> bool:
    """Whether a transaction that moved the fence, and whose answer was lost, was committed. Raises FenceLost."""
    now = await read_fence(connection, list(moves))
    ids = {partition: topic_ids.get(partition[0], "") for partition in moves}
    if moves and all(now[partition] == (after, ids[partition]) for partition, (_, after) in moves.items()):
        return True
    if any(now[partition] != (before, ids[partition]) for partition, (before, _) in moves.items()):
        raise FenceLost
    return False


async def set_fence(connection: Any, moved: Mapping[Partition, FenceRow], stored: Mapping[Partition, FenceRow]) -> None:
    """Sets the fence of these partitions, unless another loader has changed it since it was read as `stored`."""
    new = {partition: mark for partition, mark in moved.items() if partition not in stored}
    known = {partition: mark for partition, mark in moved.items() if partition in stored}
    await connection.execute(
        """
        insert into fence (topic, partition, next_offset, topic_id)
        select * from unnest($1::text[], $2::int[], $3::bigint[], $4::text[]) on conflict (topic, partition) do nothing
        """,
        *_columns(new),
    )
    await connection.execute(
        """
        update fence set next_offset = new.next_offset, topic_id = new.topic_id
        from unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::bigint[], $6::text[])
          as new(topic, partition, next_offset, topic_id, was, was_id)
        where (fence.topic, fence.partition, fence.next_offset, fence.topic_id)
          = (new.topic, new.partition, new.was, new.was_id)
        """,
        *_columns(known),
        [stored[partition].next_offset for partition in known],
        [stored[partition].topic_id for partition in known],
    )


def _columns(marks: Mapping[Partition, FenceRow]) -> tuple[list[str], list[int], list[int], list[str]]:
    return (
        [topic for topic, _ in marks],
        [partition for _, partition in marks],
        [mark.next_offset for mark in marks.values()],
        [mark.topic_id for mark in marks.values()],
    )
