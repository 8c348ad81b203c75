"""The records of several partitions as one stream, in the order of their time; holds no more of them than it must."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Partition = tuple[str, int]
"""A topic and a number."""

Place = tuple[float, int, int, int]
"""Where a record stands in the merged stream."""


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record as it stands in the log."""

    topic: str
    partition: int
    offset: int
    timestamp: float | None
    """Epoch seconds at which it was produced, not the sensor's time; None for a record without one."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Order:
    """The order of the merged stream: by time; at one time by topic, in the order given, then by offset."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._rank = {topic: rank for rank, topic in enumerate(topics)}

    def __call__(self, record: Record) -> Place:
        return time_of(record), self._rank[record.topic], record.offset, record.partition


def time_of(record: Record) -> float:
    """The record's time; a record without one is older than all others."""
    return float("-inf") if record.timestamp is None else record.timestamp


class Merge:
    """A k-way merge that is fed as it asks: what is `starved` must be fed or closed before anything comes out.

    Records of one partition keep the order of their offsets, also where their times run backwards.
    """

    def __init__(self, partitions: Iterable[Partition], order: Order) -> None:
        self._order = order
        self._held: dict[Partition, deque[Record]] = {partition: deque() for partition in partitions}
        self._heads: list[tuple[Place, Partition]] = []
        self.starved = set(self._held)
        """Open partitions of which no record is held: their next one could be the oldest of all."""

    def feed(self, partition: Partition, records: Iterable[Record]) -> None:
        """Adds the next records of an open partition."""
        held = self._held[partition]
        held.extend(records)
        if held and partition in self.starved:
            self.starved.remove(partition)
            heapq.heappush(self._heads, (self._order(held[0]), partition))

    def close(self, partition: Partition) -> None:
        """Tells that a starved partition has no more records."""
        self.starved.remove(partition)

    def ready(self) -> Iterator[Record]:
        """The records whose turn has come; stops where a partition starves, and when all are empty."""
        while self._heads and not self.starved:
            partition = self._heads[0][1]
            held = self._held[partition]
            yield held.popleft()
            if held:
                heapq.heapreplace(self._heads, (self._order(held[0]), partition))
            else:
                heapq.heappop(self._heads)
                self.starved.add(partition)
