"""The fence: how far each partition is loaded, and where loading begins after an assignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from backend_demo.domain.topics import Partition
from backend_demo.kafka_record import LogRange

Fence = Mapping[Partition, int]
"""How far each partition is loaded: the next offset."""


@dataclass(frozen=True)
class Gap:
    """Records that were deleted before they were loaded, from offset `first` to `last`."""

    partition: Partition
    first: int
    last: int


class FenceRow(NamedTuple):
    """How far a partition is loaded, as it is stored."""

    next_offset: int
    topic_id: str = ""
    """Kafka's id of the topic; empty where it was not known."""


@dataclass(frozen=True)
class Start:
    """Where loading begins after an assignment."""

    fence: Fence
    moved: Mapping[Partition, FenceRow]
    """The part of the fence that has to be stored."""
    gaps: tuple[Gap, ...]
    created_again: Fence
    """Partitions of topics that were deleted and created again, with the fence of the deleted one."""


def start(logs: Mapping[Partition, LogRange], stored: Mapping[Partition, FenceRow]) -> Start:
    """Begins each partition at its fence, and at the beginning of its log where it is new or the fence is of another.

    A log that ends before its fence is another one too, whatever its topic's id.
    """
    fence: dict[Partition, int] = {}
    moved: dict[Partition, FenceRow] = {}
    gaps: list[Gap] = []
    created_again: dict[Partition, int] = {}
    for partition, log in logs.items():
        mark = stored.get(partition)
        begin = log.begin
        if mark is not None:
            other = mark.topic_id != log.topic_id and "" not in (mark.topic_id, log.topic_id)
            if other or mark.next_offset > log.end:
                created_again[partition] = mark.next_offset
            else:
                begin = max(begin, mark.next_offset)
                if begin > mark.next_offset:
                    gaps.append(Gap(partition, mark.next_offset, begin - 1))
        fence[partition] = begin
        becomes = FenceRow(begin, log.topic_id)
        if becomes != mark:
            moved[partition] = becomes
    return Start(fence, moved, tuple(gaps), created_again)
