"""What collection, processing and aggregation do to a batch. Pure: records in, records and dead letters out."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf

from backend_demo.domain import topics
from backend_demo.domain.average import Unchanged, Window
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.reading import (
    Aggregate,
    Reading,
    Rejected,
    decode_payload,
    decode_plain,
    encode,
)
from backend_demo.domain.record import Partitions, Record, dead_letter, read, record_keys


@dataclass
class Outcome:
    """What a step makes of a batch. `produced`: (key, value) of the stage's topic, by partition."""

    produced: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=lambda: defaultdict(list))
    dead_letters: list[DeadLetter] = field(default_factory=list)
    received: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """What else is worth counting: `duplicate`, `conflict`, `late`, `repair`."""

    @property
    def sent(self) -> int:
        """Records for the stage's topic."""
        return sum(map(len, self.produced.values()))


class Collect:
    """`sensor-data` -> `src-data`: payloads become readings, keyed by sensor.

    `partition_of` is the producer's partitioner; what it says is remembered for each MQTT topic.
    """

    def __init__(self, partition_of: Callable[[bytes], int], *, future_tolerance_s: float) -> None:
        self._partition_of = partition_of
        self._tolerance_s = future_tolerance_s
        self._known: dict[bytes, tuple[int, bytes, int]] = {}

    def __call__(self, partitions: Partitions, now: float) -> Outcome:
        out = Outcome()
        produced, tolerance_s, known = out.produced, self._tolerance_s, self._known
        latest = now + tolerance_s
        for partition, records in partitions.items():
            out.received += len(records)
            for record in records:
                key, raw = record.key, record.value
                sensor = known.get(key) or self._sensor(key)  # type: ignore[arg-type]  # None is simply not known
                if sensor is None or raw is None:
                    refused = _unusable(key, raw)
                    out.dead_letters.append(dead_letter("collection", refused, record, topics.SENSOR_DATA, partition))
                    continue
                number, out_key, out_partition = sensor
                plain = decode_plain(number, raw, latest)
                if plain is not None:
                    produced[out_partition].append((out_key, encode(plain)))
                    continue
                for reading in decode_payload(number, raw, now=now, future_tolerance_s=tolerance_s):
                    if isinstance(reading, Reading):
                        produced[out_partition].append((out_key, encode(reading)))
                    else:
                        out.dead_letters.append(
                            dead_letter("collection", reading, record, topics.SENSOR_DATA, partition)
                        )
        return out

    def _sensor(self, key: bytes | None) -> tuple[int, bytes, int] | None:
        """Number, record key and partition of the sensor that an MQTT topic names."""
        number = None if key is None else topics.sensor_of(key.decode(errors="replace"))
        if key is None or number is None:
            return None
        if len(self._known) > 1_000_000:  # a flood of invented sensors must not fill the memory
            self._known.clear()
        out_key = b"%d" % number
        sensor = self._known[key] = (number, out_key, self._partition_of(out_key))
        return sensor


def _unusable(key: bytes | None, raw: bytes | None) -> Rejected:
    if key is None:
        return Rejected("key", "no key", raw or b"")
    if raw is None:
        return Rejected("empty", "no value", b"")
    return Rejected("topic", f"no sensor in {key[:200].decode(errors='replace')!r}", raw)


class Process:
    """`src-data` -> `processed-data`: plausible readings go on, byte for byte."""

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
    """`processed-data` -> `aggregated-data`: one average a reading, and those that a late reading changes.

    `windows`: the state, by partition and sensor. A record at or below its window's offset was applied before.
    A sensor that was evicted comes back with repairs, until its window has all that an average needs.
    """

    def __init__(self, *, window: int, lateness: int) -> None:
        self._window, self._capacity = window, window + lateness
        self.windows: dict[int, dict[int, Window]] = defaultdict(dict)
        self.changed: dict[int, set[int]] = defaultdict(set)
        """Sensors whose window is newer than its copy on `aggregation-state`, by partition."""
        self.horizons: dict[int, float] = {}
        """The newest time in an evicted window, by partition: a sensor without a window may have been evicted."""

    def __call__(self, partitions: Partitions) -> Outcome:
        out = Outcome()
        for partition, records in partitions.items():
            out.received += len(records)
            for sensor, changes in self._apply(out, partition, records).items():
                self._tell(out.produced[partition], sensor, self.windows[partition][sensor], changes)
        return out

    def _apply(self, out: Outcome, partition: int, records: Sequence[Record]) -> dict[int, _Changes]:
        """Puts the readings into the windows; what that changes, by sensor."""
        windows, size = self.windows[partition], self._window
        changed: dict[int, _Changes] = {}
        for record in records:
            reading = read(record)
            if isinstance(reading, Rejected):
                out.dead_letters.append(dead_letter("aggregation", reading, record, topics.PROCESSED_DATA, partition))
                continue
            sensor, timestamp = reading.sensor, reading.timestamp
            window = windows.get(sensor)
            if window is None:
                window = windows[sensor] = self._new_window(partition)
            if record.offset <= window.offset:
                continue
            window.offset = record.offset
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
        self.changed[partition].update(changed)
        return changed

    def _tell(self, produced: list[tuple[bytes, bytes]], sensor: int, window: Window, changes: _Changes) -> None:
        """The changes as records. Repairs come first: the averages behind them may know more than the table."""
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
        repairs = [Aggregate(sensor, timestamp, repair=window.offset) for timestamp in changes.repairs]
        produced += [(key, encode(repair)) for repair in repairs]
        produced += averages
        window.cut(self._capacity)

    def _new_window(self, partition: int) -> Window:
        horizon = self.horizons.get(partition)
        if horizon is None:
            return Window(times=[], values=[])
        return Window(times=[], values=[], truncated=True, horizon=horizon)

    def evict(self, partition: int, keep: int) -> dict[int, int]:
        """Forgets the sensors that have been idle for longest, all but `keep`; with the offsets of their windows."""
        windows = self.windows[partition]
        idle = sorted(windows, key=lambda sensor: windows[sensor].offset)[: max(0, len(windows) - keep)]
        evicted = {sensor: windows.pop(sensor) for sensor in idle}
        if evicted:
            known = self.horizons.get(partition, -1.0)
            newest = (max((window.horizon, *window.times[-1:])) for window in evicted.values())
            self.horizons[partition] = max(known, *newest)
        self.changed[partition].difference_update(idle)
        return {sensor: window.offset for sensor, window in evicted.items()}

    def restore(self, windows: Mapping[int, dict[int, Window]], horizons: Mapping[int, float]) -> None:
        """Takes up the state of these partitions, by sensor, and forgets that of others: they may have other owners."""
        self.windows.clear()
        self.windows.update(windows)
        self.changed.clear()
        self.horizons = dict(horizons)


@dataclass(slots=True)
class _Changes:
    """What a batch changes of one sensor's averages."""

    first: float = inf
    """Time of the first reading that came in order: from here on every average is new or changed."""
    late: set[float] = field(default_factory=set)
    """Times of averages that late readings make or change."""
    repairs: list[float] = field(default_factory=list)
    """Times of readings whose averages the window cannot tell."""
