"""Kafka in memory, as far as a stage can tell; passes tests/contract/test_log_contract.py, as the real one does."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from aiokafka import OffsetAndMetadata
from faust.types import TP

from backend_demo.faust_batch.batch import Batch, PartitionListener
from backend_demo.faust_batch.offsets import OffsetTracker
from backend_demo.faust_batch.producer import Headers, Message
from backend_demo.faust_batch.starts import log_range, starts


class Crash(Exception):
    """The process ends here, as by kill -9."""


@dataclass(frozen=True)
class Record:
    """A record as a consumer gets it."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp: int = 0


class Log:
    """Topics with their partitions, and the offsets that each group has committed."""

    def __init__(self) -> None:
        self.records: dict[TP, list[Record]] = defaultdict(list)
        self.ends: dict[TP, int] = defaultdict(int)
        self.topic_ids: dict[str, str] = defaultdict(lambda: uuid.uuid4().hex)
        self.committed: dict[str, dict[TP, OffsetAndMetadata]] = defaultdict(dict)

    def append(self, tp: TP, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Appends a record at the next offset."""
        self.records[tp].append(Record(self.ends[tp], key, value, tuple(headers)))
        self.ends[tp] += 1

    def read(self, tp: TP, offset: int, limit: int) -> list[Record]:
        """The records from an offset on, `limit` at most."""
        records = self.records[tp]
        begin = bisect_left(records, offset, key=attrgetter("offset"))
        return records[begin : begin + limit]

    def create_again(self, topic: str) -> None:
        """Deletes a topic and creates another one of the same name."""
        for tp in [tp for tp in self.records if tp.topic == topic]:
            del self.records[tp]
            del self.ends[tp]
        self.topic_ids.pop(topic, None)

    def compact(self, tp: TP) -> None:
        """Leaves the last record of each key."""
        last = {record.key: record for record in self.records[tp]}
        self.records[tp] = [record for record in self.records[tp] if last[record.key] is record]


class LogProducer:
    """Stands for BatchProducer. Each record, and then the answer, is a step at which the process may die."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.steps_left: int | None = None
        self.twice = False
        """The answers are lost, so that everything is sent again."""

    async def send(self, messages: Mapping[tuple[str, int], Sequence[Message]], headers: Headers = ()) -> None:
        """Appends the records to their partitions."""
        await asyncio.sleep(0)
        for _ in range(1 + self.twice):
            for target, found in messages.items():
                for message in found:
                    self._step()
                    own = message[2] if len(message) == 3 else ()
                    self._log.append(TP(*target), message[0], message[1], (*own, *headers))
        self._step()

    def _step(self) -> None:
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise Crash


class LogConsumer:
    """Stands for the transport's consumer: one member of a group."""

    def __init__(self, log: Log, group: str, topics: Sequence[str]) -> None:
        self.log = log
        self.group = group
        self.offsets: OffsetTracker[TP] = OffsetTracker()
        self._topics = topics
        self._topic_ids: dict[str, str] = {}
        self._positions: dict[TP, int] = {}

    async def assigned(self, partitions: Sequence[int], listener: PartitionListener | None) -> None:
        """Begins at the committed offsets, and where the listener says otherwise."""
        self.offsets.reset()
        self._topic_ids = {topic: self.log.topic_ids[topic] for topic in self._topics}
        tps = [TP(topic, partition) for topic in self._topics for partition in partitions]
        committed = {tp: found for tp, found in self.log.committed[self.group].items() if tp in tps}
        logs = {tp: log_range(0, self.log.ends[tp], self._topic_ids[tp.topic], committed.get(tp)) for tp in tps}
        self._positions = {**dict.fromkeys(tps, 0), **starts(logs, committed)[0]}
        if listener is not None:
            self._positions.update(await listener.assigned(logs))

    async def revoked(self, listener: PartitionListener | None) -> None:
        """Lets the listener make durable what it holds, then commits."""
        if listener is not None:
            await listener.revoked(frozenset(self._positions))
        self.commit()

    def poll(self, sizes: Sequence[int]) -> Batch | None:
        """Takes so many records at most of each partition of each topic; None when there are none."""
        records: dict[TP, Sequence[Record]] = {}
        for (tp, position), size in zip(self._positions.items(), itertools.cycle(sizes), strict=False):
            found = self.log.read(tp, position, size)
            if found:
                records[tp] = found
        ends = {tp: found[-1].offset + 1 for tp, found in records.items()}
        self._positions.update(ends)
        return Batch(records, self.offsets.deliver(ends), self) if records else None  # type: ignore[arg-type]

    def commit(self) -> None:
        """Commits what is acknowledged."""
        offsets = self.offsets.committable()
        for tp, offset in offsets.items():
            self.log.committed[self.group][tp] = OffsetAndMetadata(offset, self._topic_ids[tp.topic])
        self.offsets.confirm(offsets)

    def behind(self) -> bool:
        """Whether there is more to read."""
        return any(position < self.log.ends[tp] for tp, position in self._positions.items())

    def is_behind_its_group(self) -> bool:
        """Whether others have acknowledged everything that it has read."""
        committed = self.log.committed[self.group]
        return all(
            not position or (tp in committed and self._has_acknowledged(committed[tp], tp, position))
            for tp, position in self._positions.items()
        )

    def _has_acknowledged(self, committed: OffsetAndMetadata, tp: TP, position: int) -> bool:
        return committed.metadata != self._topic_ids[tp.topic] or position <= committed.offset
