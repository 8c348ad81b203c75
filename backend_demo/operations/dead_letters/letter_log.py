"""The dead letters in Kafka, each with how it stands."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.letter_mark import LetterId, LetterState, Marks, Standing
from backend_demo.domain.topics import DEAD_LETTER, DEAD_LETTER_MARKS, Partition
from backend_demo.errors import ServiceFailed
from backend_demo.operations.dead_letters.refused import Refused, refused, time_ms
from backend_demo.operations.kafka_log import KafkaLog, partitions_of
from backend_demo.operations.kafka_record import KafkaRecord, time_of

#: Most records of a partition that are read in one step.
SPAN_MAX = 500


@dataclass(frozen=True, slots=True)
class Letter:
    """A record of `dead-letter`, and how it stands."""

    record: KafkaRecord
    standing: Standing

    @property
    def id(self) -> LetterId:
        """Its partition and offset."""
        return self.record.partition, self.record.offset


@dataclass(frozen=True)
class WantedLetters:
    """Which dead letters; an empty field means any."""

    reasons: Collection[str] = ()
    stages: Collection[str] = ()
    sensors: Collection[int] = ()
    states: Collection[LetterState] = ()
    since: float | None = None
    """The first time of the refusal, epoch seconds."""
    until: float | None = None
    """The last time, inclusive."""

    def __call__(self, letter: Refused) -> bool:
        """Whether a dead letter is one of them. One without a time is older than all others."""
        when = float("-inf") if letter.time is None else letter.time
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.stages or letter.stage in self.stages)
            and (not self.sensors or letter.sensor in self.sensors)
            and (not self.states or letter.state in self.states)
            and (self.since is None or when >= self.since)
            and (self.until is None or when <= self.until)
        )


class LetterLog:
    """Reads dead letters, and their marks from the oldest to the newest."""

    def __init__(self, kafka: KafkaLog) -> None:
        """`kafka` has the partitions of both topics; a Kafka of an earlier version has no marks."""
        self._kafka = kafka
        self.takes_marks = any(topic == DEAD_LETTER_MARKS for topic, _ in kafka.positions)
        """Whether there is a topic for marks."""
        self._marks = Marks()
        self._marks_read: dict[Partition, int] = {}

    async def limits(self) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """Where the partitions of `dead-letter` begin and end."""
        begins, ends = await self._kafka.starts(0), await self._kafka.ends()
        return _of_topic(begins, DEAD_LETTER), _of_topic(ends, DEAD_LETTER)

    async def total(self) -> int:
        """How many dead letters the topic has."""
        begins, ends = await self.limits()
        return sum(ends.values()) - sum(begins.values())

    async def before(self, when: float) -> dict[Partition, int]:
        """The offset of the first dead letter at or after this time (epoch seconds) in each partition."""
        return _of_topic(await self._kafka.starts(when), DEAD_LETTER)

    async def read_marks(self) -> None:
        """Reads the marks that were written since the last call."""
        begins = _of_topic(await self._kafka.starts(0), DEAD_LETTER_MARKS)
        ends = _of_topic(await self._kafka.ends(), DEAD_LETTER_MARKS)
        if any(ends[partition] < read for partition, read in self._marks_read.items()):
            self._marks, self._marks_read = Marks(), {}  # the topic was made again
        starts = {partition: max(begin, self._marks_read.get(partition, 0)) for partition, begin in begins.items()}
        async with contextlib.aclosing(self._kafka.read(starts, ends)) as parts:
            async for part in parts:
                for record in (record for records in part.values() for record in records):
                    self._marks.add(record.partition, record.value, record.timestamp)
        self._marks_read = ends

    async def marks_of(self, partition: int) -> list[KafkaRecord]:
        """All marks of a partition."""
        place = DEAD_LETTER_MARKS, partition
        begins, ends = await self._kafka.starts(0), await self._kafka.ends()
        found: list[KafkaRecord] = []
        async with contextlib.aclosing(self._kafka.read({place: begins[place]}, {place: ends[place]})) as parts:
            async for part in parts:
                found += part.get(place, [])
        return found

    def letter(self, record: KafkaRecord) -> Letter:
        """The record with how it stands, as far as marks have been read."""
        return Letter(record, self._marks.of((record.partition, record.offset), time_ms(record)))

    async def by_id(self, ids: Iterable[LetterId]) -> dict[LetterId, Letter]:
        """These dead letters, as far as they are there."""
        begins, ends = await self.limits()
        found: dict[LetterId, Letter] = {}
        for partition, offset in dict.fromkeys(ids):
            place = DEAD_LETTER, partition
            if not begins.get(place, 0) <= offset < ends.get(place, 0):
                continue
            async with contextlib.aclosing(self._kafka.read({place: offset}, {place: offset + 1})) as parts:
                async for part in parts:
                    for record in part.get(place, []):
                        found[record.partition, record.offset] = self.letter(record)
        return found

    async def scan(self, wanted: WantedLetters) -> AsyncGenerator[list[Letter], None]:
        """Yields the wanted dead letters that are there now, part by part; oldest first within a partition."""
        starts = await self.before(wanted.since or 0)
        _, ends = await self.limits()
        async with contextlib.aclosing(self._kafka.read(starts, ends)) as parts:
            async for part in parts:
                records = sorted((record for records in part.values() for record in records), key=time_of)
                found = [self.letter(record) for record in records]
                yield [letter for letter in found if wanted(refused(letter.record, letter.standing))]

    async def newest(
        self, count: int, wanted: Callable[[Refused], bool], *, limit_s: float | None
    ) -> tuple[list[Refused], bool]:
        """The newest `count` wanted ones, newest first, and whether there may be older ones.

        Reads backwards, part by part, until no older one can be among them, or until time is up.
        """
        deadline = None if limit_s is None else time.monotonic() + limit_s
        begins, ends = await self.limits()
        kept: list[tuple[float, int, int, Refused]] = []
        complete_from: dict[Partition, float] = {}
        upto, span = dict(ends), min(count, SPAN_MAX)
        while True:
            late = deadline is not None and time.monotonic() > deadline
            starts = {partition: max(begins[partition], upto[partition] - span) for partition in ends}
            part: list[tuple[float, int, int, Refused]] = []
            async with contextlib.aclosing(self._kafka.read(starts, upto)) as pieces:
                async for found in pieces:
                    late = deadline is not None and time.monotonic() > deadline
                    if upto != ends and late:  # half a part would leave out its newest
                        return [letter for *_, letter in kept[:count]], True
                    for partition, records in found.items():
                        for record in records:
                            written = time_of(record)
                            complete_from[partition] = min(written, complete_from.get(partition, written))
                            letter = refused(record, self.letter(record).standing)
                            if wanted(letter):
                                part.append((written, record.offset, record.partition, letter))
            kept = sorted(kept + part, key=lambda entry: entry[:3], reverse=True)
            older = [partition for partition in ends if starts[partition] > begins[partition]]
            unseen_before = max((complete_from.get(partition, float("inf")) for partition in older), default=None)
            enough = len(kept) >= count and (unseen_before is None or kept[count - 1][0] > unseen_before)
            if unseen_before is None or enough or late:
                more = len(kept) > count or unseen_before is not None
                return [letter for *_, letter in kept[:count]], more
            del kept[count + 1 :]
            upto, span = starts, min(span * 4, SPAN_MAX)

    def rest(self) -> None:
        """As `KafkaLog.rest`."""
        self._kafka.rest()


def _of_topic(offsets: Mapping[Partition, int], topic: str) -> dict[Partition, int]:
    return {partition: offset for partition, offset in offsets.items() if partition[0] == topic}


@contextlib.asynccontextmanager
async def opened(
    brokers: Brokers, *, patience_s: float | None, notify: Callable[[str], None]
) -> AsyncIterator[LetterLog]:
    """The dead letters of a Kafka. `patience_s`, `notify`: as of a KafkaLog. Raises ServiceFailed."""
    known = await partitions_of(brokers)
    if DEAD_LETTER not in known:
        raise ServiceFailed(f"Kafka has no topic {DEAD_LETTER}", hint="run: bdemo migrate")
    partitions = [*known[DEAD_LETTER], *known.get(DEAD_LETTER_MARKS, ())]
    async with KafkaLog(brokers, partitions, patience_s=patience_s, notify=notify) as kafka:
        letters = LetterLog(kafka)
        await letters.read_marks()
        yield letters
