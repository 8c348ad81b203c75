"""What a batch of the loader brings to the tables. Pure: records in, rows and dead letters out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from backend_demo.domain import topics
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.reading import UNREADABLE, Reading, Rejected, decode_aggregate
from backend_demo.domain.record import Partitions, Record, dead_letter, read

Key = tuple[int, float]
"""Sensor number and timestamp: a reading's identity."""


@dataclass
class Averages:
    """Averages to store, then sensors' readings from which on averages are computed from the table (repairs)."""

    stored: dict[Key, float] = field(default_factory=dict)
    repairs: list[Key] = field(default_factory=list)


@dataclass
class Load:
    """`processed-data` and `aggregated-data` -> rows: what a batch brings to the tables, taken partition by partition.

    Of two readings with one identity the first wins, of two averages the last.
    """

    readings: dict[Key, float] = field(default_factory=dict)
    averages: list[Averages] = field(default_factory=lambda: [Averages()])
    """To be done one after the other: an average that follows a repair of its sensor knows more than the table."""
    _repaired: dict[int, int] = field(default_factory=dict)
    """How many repairs a sensor has so far: where in `averages` it has come to."""
    held: dict[int, list[Record]] = field(default_factory=dict)
    """Records of `aggregated-data`, by partition, from the first repair on whose reading is not loaded yet."""
    dead_letters: list[DeadLetter] = field(default_factory=list)
    contested: dict[Key, float] = field(default_factory=dict)
    """Identities with several values in the batch, and the first of these: it stays unless the table has another."""
    duplicates: int = 0

    def take_processed(self, records: Iterable[Record]) -> None:
        """Takes records of a partition of `processed-data`."""
        readings = self.readings
        for record in records:
            reading = read(record)
            if type(reading) is not Reading:
                continue  # the aggregation tells what cannot be read
            key = (reading.sensor, reading.timestamp)
            known = readings.setdefault(key, reading.value)
            if known is reading.value:
                continue
            if known == reading.value:
                self.duplicates += 1
            else:
                self.contested[key] = known

    def take_aggregated(self, partition: int, records: Iterable[Record], loaded: int) -> None:
        """Takes records of a partition of `aggregated-data`.

        `loaded`: where the partition of `processed-data` with this number ends when the batch is loaded. A repair waits
        for its reading, and with it all behind it: the order of `aggregated-data` is the order of what averages know.
        """
        if partition in self.held:
            self.held[partition].extend(records)
            return
        steps, repaired = self.averages, self._repaired
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
                steps[repaired.get(sensor, 0)].stored[sensor, aggregate.timestamp] = aggregate.value
            elif aggregate.repair is None:
                self._refuse(Rejected("field", "neither an average nor a repair", raw), record, partition)
            elif aggregate.repair >= loaded:
                self.held[partition] = [record, *waiting]
            else:
                before = repaired.get(sensor, 0)
                steps[before].repairs.append((sensor, aggregate.timestamp))
                repaired[sensor] = before + 1
                if before + 1 == len(steps):
                    steps.append(Averages())

    def _refuse(self, rejected: Rejected, record: Record, partition: int) -> None:
        self.dead_letters.append(dead_letter("loader", rejected, record, topics.AGGREGATED_DATA, partition))


def conflicts(processed: Partitions, stays: Mapping[Key, float]) -> list[DeadLetter]:
    """The dead letters of records that bring another value for an identity than the one that stays."""
    letters = []
    for partition, records in processed.items() if stays else ():
        for record in records:
            reading = read(record)
            if isinstance(reading, Reading):
                value = stays.get((reading.sensor, reading.timestamp), reading.value)
                if value != reading.value:
                    letters.append(_conflict(record, partition))
    return letters


def _conflict(record: Record, partition: int) -> DeadLetter:
    rejected = Rejected("conflict", "another value is stored for this sensor and time", record.value or b"")
    return dead_letter("loader", rejected, record, topics.PROCESSED_DATA, partition)
