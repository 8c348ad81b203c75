"""What collection, processing and aggregation do to a batch. Pure: records in, records and dead letters out."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf

from backend_demo.domain import topics
from backend_demo.domain.average import Unchanged, Window
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.known_sensors import KnownSensors, Place
from backend_demo.domain.mapping import DeviceMapping, Mappings
from backend_demo.domain.reading import (
    Aggregate,
    Reading,
    Rejected,
    TimeLimits,
    decode_payload,
    decode_plain,
    encode,
)
from backend_demo.domain.record import Partitions, dead_letter, read, record_keys
from backend_demo.domain.sensor_name import SensorName
from backend_demo.domain.state_log import State, StateSource
from backend_demo.kafka_record import Record


@dataclass
class Outcome:
    """The result of a step. `produced`: the (key, value) pairs for the stage's topic, by partition."""

    produced: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=lambda: defaultdict(list))
    dead_letters: list[DeadLetter] = field(default_factory=list)
    received: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Readings by kind: `duplicate`, `conflict`, `late`, `repair`."""
    names: list[tuple[SensorName, int]] = field(default_factory=list)
    """Names of sensors that were met for the first time, each with the partition of its sensor."""

    @property
    def sent(self) -> int:
        """Records for the stage's topic."""
        return sum(map(len, self.produced.values()))


class Collect:
    """`sensor-data` -> `src-data`: payloads become readings, keyed by sensor.

    `partition_of` is the producer's partitioner; `earliest` returns the lowest time that is taken at a given moment. A
    mapping that matches a topic comes before the built-in forms.
    """

    def __init__(
        self,
        partition_of: Callable[[bytes], int],
        *,
        future_tolerance_s: float,
        earliest: Callable[[float], float],
        mappings: Sequence[DeviceMapping] = (),
    ) -> None:
        self._tolerance_s, self._earliest = future_tolerance_s, earliest
        self._mappings = Mappings(mappings)
        self._sensors = KnownSensors(partition_of)

    def __call__(self, partitions: Partitions, now: float) -> Outcome:
        out = Outcome()
        produced, known = out.produced, self._sensors.by_topic
        limits = TimeLimits(now, self._tolerance_s, self._earliest(now))
        earliest, latest = limits.time_min, limits.latest
        for partition, records in partitions.items():
            out.received += len(records)
            for record in records:
                sensor, raw = known.get(record.key), record.value  # type: ignore[arg-type]  # None is never a key of it
                if sensor is not None and raw is not None:
                    number, out_key, out_partition = sensor
                    plain = decode_plain(number, raw, earliest, latest)
                    if plain is not None:
                        produced[out_partition].append((out_key, encode(plain)))
                        continue
                self._collect(out, partition, record, limits)
        out.names = self._sensors.new_names()
        return out

    def _collect(self, out: Outcome, partition: int, record: Record, limits: TimeLimits) -> None:
        """What needs more than a look at the two numbers: other payloads, mapped topics, whatever is refused."""
        for found in self._readings(record, limits):
            if isinstance(found, Rejected):
                out.dead_letters.append(dead_letter("collection", found, record, topics.SENSOR_DATA, partition))
            else:
                place, reading = found
                out.produced[place.partition].append((place.key, encode(reading)))

    def _readings(self, record: Record, limits: TimeLimits) -> Iterable[tuple[Place, Reading] | Rejected]:
        key, raw = record.key, record.value
        if key is None:
            return (Rejected("key", "no key", raw or b""),)
        if raw is None:
            return (Rejected("empty", "no value", b""),)
        mapping = self._mappings.of(key)
        if mapping is not None:
            return (self._mapped(*mapping, raw, record.timestamp / 1000, limits),)
        place = self._sensors.of_topic(key)
        if isinstance(place, str):
            return (Rejected("topic", place, raw),)
        found = decode_payload(
            place.sensor,
            raw,
            now=limits.now,
            future_tolerance_s=limits.future_tolerance_s,
            time_min=limits.time_min,
        )
        return ((place, each) if isinstance(each, Reading) else each for each in found)

    def _mapped(
        self, mapping: DeviceMapping, topic: str, raw: bytes, arrived: float, limits: TimeLimits
    ) -> tuple[Place, Reading] | Rejected:
        found = mapping.read(topic, raw, arrived=arrived, limits=limits)
        if isinstance(found, Rejected):
            return found
        place = self._sensors.of_name(found.sensor)
        if isinstance(place, str):
            return Rejected("topic", place, raw)
        return place, Reading(place.sensor, found.timestamp, found.value)


class Process:
    """`src-data` -> `processed-data`: forwards plausible readings, byte for byte."""

    def __init__(self, *, value_min: float, value_max: float) -> None:
        self._low, self._high = value_min, value_max

    def __call__(self, partitions: Partitions) -> Outcome:
        out = Outcome()
        low, high = self._low, self._high
        for partition, records in partitions.items():
            forward = out.produced[partition].append
            out.received += len(records)
            for record in records:
                reading = read(record)
                if type(reading) is Reading and low <= reading.value <= high:
                    forward((record.key, record.value))  # type: ignore[arg-type]  # a reading has both
                    continue
                if isinstance(reading, Reading):
                    reading = Rejected("range", f"{reading.value} is not in {low} to {high}", record.value or b"")
                out.dead_letters.append(dead_letter("processing", reading, record, topics.SRC_DATA, partition))
        return out


class Average:
    """`processed-data` -> `aggregated-data`: one average per reading, and those that a late reading changes.

    A record at or below the offset of its sensor's window was applied before. A sensor that was evicted comes back with
    repairs, until its window has all that an average needs.
    """

    def __init__(self, state: State, *, window: int, lateness: int) -> None:
        self._state = state
        self._window, self._capacity = window, window + lateness

    def __call__(self, partitions: Partitions) -> Outcome:
        out = Outcome()
        for partition, records in partitions.items():
            out.received += len(records)
            source = self._state.sources[partition]
            for sensor, changes in self._apply(out, partition, records, source.base).items():
                self._produce(out.produced[partition], sensor, self._state.windows[partition][sensor], changes, source)
        return out

    def _apply(self, out: Outcome, partition: int, records: Sequence[Record], base: int) -> dict[int, _Changes]:
        """Puts the readings into the windows; returns what that changes, by sensor."""
        windows, size = self._state.windows[partition], self._window
        changed: dict[int, _Changes] = {}
        for record in records:
            reading = read(record)
            if isinstance(reading, Rejected):
                out.dead_letters.append(dead_letter("aggregation", reading, record, topics.PROCESSED_DATA, partition))
                continue
            sensor, timestamp = reading.sensor, reading.timestamp
            window = windows.get(sensor)
            if window is None:
                window = windows[sensor] = self._state.new_window(partition)
            offset = record.offset + base
            if offset <= window.offset:
                continue
            window.offset = offset
            changes = changed.get(sensor)
            if changes is None:
                changes = changed[sensor] = _Changes()
            times = window.times
            if times and timestamp > times[-1]:
                times.append(timestamp)
                window.values.append(reading.value)
                if timestamp < changes.first:
                    changes.first = timestamp
                continue
            averages = window.put(timestamp, reading.value, window=size)
            if averages is Unchanged.TOO_OLD:
                out.counts["repair"] += 1
                changes.repairs.append(timestamp)
            elif isinstance(averages, Unchanged):
                out.counts[averages.value] += 1
            elif timestamp == times[-1]:
                changes.first = min(changes.first, timestamp)
            else:
                out.counts["late"] += 1
                changes.late.update(averages)
        self._state.changed[partition].update(changed)
        return changed

    def _produce(
        self,
        produced: list[tuple[bytes, bytes]],
        sensor: int,
        window: Window,
        changes: _Changes,
        source: StateSource,
    ) -> None:
        """Appends the changes as records. Repairs come first: the averages behind them may know more than the table."""
        key, size, times = record_keys[sensor], self._window, window.times
        first = bisect_left(times, changes.first)
        indices = [bisect_left(times, late) for late in sorted(changes.late) if late < changes.first]
        averages = []
        for index in chain(indices, range(first, len(times))):
            value = window.average_at(index, size)
            if value is None:
                changes.repairs.append(times[index])
            else:
                averages.append((key, encode(Reading(sensor, times[index], value))))
        offset, topic_id = window.offset - source.base, source.topic_id or None
        repairs = [Aggregate(sensor, timestamp, repair=offset, topic_id=topic_id) for timestamp in changes.repairs]
        produced += [(key, encode(repair)) for repair in repairs]
        produced += averages
        window.cut(self._capacity)


@dataclass(slots=True)
class _Changes:
    """What a batch changes of one sensor's averages."""

    first: float = inf
    """Time of the first reading that arrived in order: every average from here on is new or changed."""
    late: set[float] = field(default_factory=set)
    """Times of averages that late readings add or change."""
    repairs: list[float] = field(default_factory=list)
    """Times of readings whose averages the window cannot compute."""
