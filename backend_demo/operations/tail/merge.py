"""The records of several partitions as one stream, in the order of their time; holds no more of them than it must."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator

from backend_demo.domain.topics import Partition
from backend_demo.operations.kafka_record import KafkaRecord, time_of

SortKey = tuple[float, int, int, int]
"""Where a record stands in the merged stream."""


class RecordOrder:
    """The order of the merged stream: by time; at one time by topic, in the order given, then by offset."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._rank = {topic: rank for rank, topic in enumerate(topics)}

    def __call__(self, record: KafkaRecord) -> SortKey:
        return time_of(record), self._rank[record.topic], record.offset, record.partition


class Merge:
    """A k-way merge that is fed as it asks: what is `starved` must be fed or closed before anything comes out.

    Records of one partition keep the order of their offsets, also where their times run backwards.
    """

    def __init__(self, partitions: Iterable[Partition], order: RecordOrder) -> None:
        self._order = order
        self._held: dict[Partition, deque[KafkaRecord]] = {partition: deque() for partition in partitions}
        self._heads: list[tuple[SortKey, Partition]] = []
        self.starved = set(self._held)
        """Open partitions of which no record is held: their next one could be the oldest of all."""

    def feed(self, partition: Partition, records: Iterable[KafkaRecord]) -> None:
        """Adds the next records of an open partition."""
        held = self._held[partition]
        held.extend(records)
        if held and partition in self.starved:
            self.starved.remove(partition)
            heapq.heappush(self._heads, (self._order(held[0]), partition))

    def close(self, partition: Partition) -> None:
        """Marks a starved partition as ended: it has no more records."""
        self.starved.remove(partition)

    def ready(self) -> Iterator[KafkaRecord]:
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
