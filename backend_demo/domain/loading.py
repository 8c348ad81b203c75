"""The loader's decisions: what a batch brings to the tables, how far that moves the fence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.fence import Fence, Gap
from backend_demo.domain.names import name_problem, number_in, number_of
from backend_demo.domain.reading import UNREADABLE, Aggregate, Reading, Rejected, decode_aggregate
from backend_demo.domain.record import Partitions, dead_letter, read
from backend_demo.domain.sensor_name import SensorName, decode_name, encode_name
from backend_demo.domain.topics import AGGREGATED_DATA, PROCESSED_DATA, SENSOR_NAMES, Partition
from backend_demo.kafka_record import Record

Key = tuple[int, float]
"""Sensor number and timestamp: a reading's identity."""


class Ends(NamedTuple):
    """Where partitions of `processed-data` end, as Kafka has it now, and Kafka's id of that topic."""

    by_partition: Mapping[int, int] = MappingProxyType({})
    topic_id: str = ""


@dataclass(frozen=True)
class Position:
    """How far the loader is, once the transactions that it has planned are committed."""

    fence: Fence = field(default_factory=dict)
    read_to: Fence = field(default_factory=dict)
    """The offset after the last record read; ahead of the fence where records wait behind a repair."""
    held: Mapping[int, Sequence[Record]] = field(default_factory=dict)
    """Records of `aggregated-data`, by partition, from the first repair on whose reading is not loaded yet."""
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    """Kafka's ids of the topics; of those that have one."""
    assigned_ends: Mapping[int, int] = field(default_factory=dict)
    """Where `aggregated-data` ended before Kafka was asked for ids, by partition: no older record has newer ones."""

    @classmethod
    def at(
        cls,
        fence: Fence,
        topic_ids: Mapping[str, str] = MappingProxyType({}),
        assigned_ends: Mapping[int, int] = MappingProxyType({}),
    ) -> Position:
        """The position after an assignment."""
        return cls(fence, fence, topic_ids=topic_ids, assigned_ends=assigned_ends)


@dataclass
class Averages:
    """Averages to store, then readings from which on their sensor's averages are computed from the table (repairs)."""

    stored: dict[Key, float] = field(default_factory=dict)
    repairs: list[Key] = field(default_factory=list)


@dataclass(frozen=True)
class LoadPlan:
    """What one transaction does to the tables, and the dead letters that are sent before it."""

    readings: Mapping[Key, float] = field(default_factory=dict)
    averages: Sequence[Averages] = ()
    """To be stored one after the other: an average that follows a repair of its sensor knows more than the table."""
    fence: Mapping[Partition, tuple[int, int]] = field(default_factory=dict)
    """The next offset before and after, of each partition whose fence moves."""
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    """The ids of the topics, which must be those of the fence."""
    dead_letters: Sequence[DeadLetter] = ()
    contested: Mapping[Key, float] = field(default_factory=dict)
    """Identities with several values in the batch, and the first of these: it stays unless the table has another."""
    duplicates: int = 0
    """Readings that the batch has more than once."""


class Draft:
    """A plan in the making: `for _ in draft.take(portion)`, then `plan()`.

    Of two readings with one identity the first wins, of two averages the last.
    """

    def __init__(
        self,
        position: Position,
        processed: Partitions,
        aggregated: Partitions,
        ends: Ends = Ends(),  # noqa: B008 - immutable
    ) -> None:
        """`processed` and `aggregated`: the batch's records of `processed-data` and `aggregated-data`.

        `ends`: of the partitions that were asked for.
        """
        self._topic_id = position.topic_ids.get(PROCESSED_DATA, "")
        # of a topic that has come since, nothing is loaded before the next assignment
        self._ends = ends.by_partition if ends.topic_id == self._topic_id else {}
        arrived = {
            **{(PROCESSED_DATA, number): records for number, records in processed.items()},
            **{(AGGREGATED_DATA, number): records for number, records in aggregated.items()},
        }
        expected = position.read_to
        self.gaps = [
            Gap(partition, expected[partition], records[0].offset - 1)
            for partition, records in arrived.items()
            if records[0].offset > expected[partition]
        ]
        """Records between this batch and the one before that the log no longer has."""
        self._before = position
        self._read_to = {**expected, **{partition: records[-1].offset + 1 for partition, records in arrived.items()}}
        self._processed = processed
        self._aggregated: dict[int, Sequence[Record]] = {**position.held}
        for number, records in aggregated.items():
            self._aggregated[number] = [*self._aggregated.get(number, ()), *records]
        self._readings: dict[Key, float] = {}
        self._averages = [Averages()]
        self._repairs: dict[int, int] = {}
        """How many repairs a sensor has so far: the index in `_averages` at which it has arrived."""
        self._held: dict[int, list[Record]] = {}
        self._dead_letters: list[DeadLetter] = []
        self._contested: dict[Key, float] = {}
        self._duplicates = 0

    def take(self, portion: int) -> Iterator[None]:
        """Decodes the batch, and what was held before it; yields after every `portion` records."""
        for records in self._processed.values():
            for begin in range(0, len(records), portion):
                self._take_processed(records[begin : begin + portion])
                yield
        for number, records in self._aggregated.items():
            loaded = self._read_to.get((PROCESSED_DATA, number), 0)
            for begin in range(0, len(records), portion):
                self._take_aggregated(number, records[begin : begin + portion], loaded)
                yield

    def plan(self) -> tuple[LoadPlan, Position]:
        """The plan, and the position that its transaction leaves."""
        waiting = {(AGGREGATED_DATA, number): records[0].offset for number, records in self._held.items()}
        before, after = self._before.fence, {**self._read_to, **waiting}
        moves = {
            partition: (before[partition], offset) for partition, offset in after.items() if offset != before[partition]
        }
        plan = LoadPlan(
            self._readings,
            self._averages,
            moves,
            self._before.topic_ids,
            self._dead_letters,
            self._contested,
            self._duplicates,
        )
        return plan, replace(self._before, fence=after, read_to=self._read_to, held=self._held)

    def _take_processed(self, records: Iterable[Record]) -> None:
        readings = self._readings
        for record in records:
            reading = read(record)
            if type(reading) is not Reading:
                continue  # the aggregation makes a dead letter of what cannot be read
            key = (reading.sensor, reading.timestamp)
            known = readings.setdefault(key, reading.value)
            if known is reading.value:
                continue
            if known == reading.value:
                self._duplicates += 1
            else:
                self._contested[key] = known

    def _take_aggregated(self, partition: int, records: Iterable[Record], loaded: int) -> None:
        """`loaded`: where the partition of `processed-data` with this number ends once the batch is loaded.

        A repair waits for its reading, and everything behind it waits too: later averages know about that reading.
        One whose reading is not in the log would wait for ever: it is refused. A reading of a log that is gone is in
        the table, or it never will be; whether that log is gone, or newer than this one, only Kafka knows.
        """
        if partition in self._held:
            self._held[partition].extend(records)
            return
        averages, repairs = self._averages, self._repairs
        waiting = iter(records)
        for record in waiting:
            raw = record.value or b""
            try:
                aggregate = decode_aggregate(raw)
            except UNREADABLE as problem:
                self._refuse(Rejected("json", str(problem)[:200], raw), record, partition)
                continue
            sensor = aggregate.sensor
            if aggregate.value is not None:
                averages[repairs.get(sensor, 0)].stored[sensor, aggregate.timestamp] = aggregate.value
            elif aggregate.repair is None:
                self._refuse(Rejected("field", "neither an average nor a repair", raw), record, partition)
            elif self._is_of_this_log(aggregate) and aggregate.repair >= self._ends.get(partition, inf):
                detail = f"repairs offset {aggregate.repair} of {PROCESSED_DATA}, which ends at {self._ends[partition]}"
                self._refuse(Rejected("field", detail, raw), record, partition)
            elif self._waits(aggregate, record, partition, loaded):
                self._held[partition] = [record, *waiting]
            else:
                before = repairs.get(sensor, 0)
                averages[before].repairs.append((sensor, aggregate.timestamp))
                repairs[sensor] = before + 1
                if before + 1 == len(averages):
                    averages.append(Averages())

    def _is_of_this_log(self, repair: Aggregate) -> bool:
        return repair.topic_id is None or repair.topic_id == self._topic_id

    def _waits(self, repair: Aggregate, record: Record, partition: int, loaded: int) -> bool:
        if self._is_of_this_log(repair):
            return repair.repair is not None and repair.repair >= loaded
        # a log that is gone, or one that has come since the assignment?
        return record.offset >= self._before.assigned_ends.get(partition, 0) and partition not in self._ends

    def _refuse(self, rejected: Rejected, record: Record, partition: int) -> None:
        self._dead_letters.append(dead_letter("loader", rejected, record, AGGREGATED_DATA, partition))


def names(partitions: Partitions) -> tuple[list[tuple[SensorName, float]], list[DeadLetter]]:
    """The names in records of `sensor-names`, each with its record's time (epoch seconds), and the dead letters."""
    found, letters = [], []
    for partition, records in partitions.items():
        for record in records:
            try:
                name = decode_name(record.value or b"")
            except UNREADABLE as problem:
                rejected = Rejected("json", str(problem)[:200], record.value or b"")
            else:
                valid = name_problem(name.name) is None and number_in(name.name) is None
                if valid and name.sensor == number_of(name.name):
                    found.append((name, record.timestamp / 1000))
                    continue
                detail = f"{name.sensor} is not the number of {name.name[:200]!r}"
                rejected = Rejected("key", detail, record.value or b"")
            letters.append(dead_letter("loader", rejected, record, SENSOR_NAMES, partition))
    return found, letters


def shared_number(name: SensorName, other: str) -> DeadLetter:
    """The dead letter of a name whose number belongs to another name."""
    detail = f"{name.name!r} has the number {name.sensor} of {other!r}: rename one of them"
    return DeadLetter("loader", "topic", detail, encode_name(name), b"%d" % name.sensor, SENSOR_NAMES)


def conflicts(processed: Partitions, winners: Mapping[Key, float]) -> list[DeadLetter]:
    """The dead letters of records whose value is not the one that stays under their identity."""
    letters = []
    for partition, records in processed.items() if winners else ():
        for record in records:
            reading = read(record)
            if isinstance(reading, Reading):
                value = winners.get((reading.sensor, reading.timestamp), reading.value)
                if value != reading.value:
                    letters.append(_conflict(record, partition))
    return letters


def _conflict(record: Record, partition: int) -> DeadLetter:
    rejected = Rejected("conflict", "another value is stored for this sensor and time", record.value or b"")
    return dead_letter("loader", rejected, record, PROCESSED_DATA, partition)
