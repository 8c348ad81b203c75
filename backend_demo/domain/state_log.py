"""The aggregation's state: the windows of its sensors, and the records that keep a copy of them in Kafka."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

import msgspec

from backend_demo.domain.average import Window
from backend_demo.kafka_record import LogRange

#: Share of a partition's windows that is kept when it has too many.
KEPT = 0.9

#: Key of the record with the newest time in an evicted window of its partition.
HORIZON = b"horizon"

#: Key of the record that says which topic a partition's windows are of; all other keys are sensors.
SOURCE = b"source"

#: Bits of a window's offset that hold the offset in its topic; those above, how often the topic was created again.
OFFSET_BITS = 40

StateRecord = tuple[bytes, bytes | None] | tuple[bytes, bytes | None, list[tuple[str, bytes]]]
"""Key, value and, in the record of an evicted window, headers."""

encode_window = msgspec.json.Encoder().encode
decode_window = msgspec.json.Decoder(Window).decode


class StateSource(msgspec.Struct, frozen=True):
    """The topic of a partition's windows: Kafka's id of it, and how often it was deleted and created again.

    An offset of a later one is above every offset of those before.
    """

    topic_id: str = ""
    generation: int = 0

    @property
    def base(self) -> int:
        """What is added to an offset of the topic."""
        return self.generation << OFFSET_BITS


encode_source = msgspec.json.Encoder().encode
decode_source = msgspec.json.Decoder(StateSource).decode


class StateFit(Enum):
    """What the windows of a partition are to its log."""

    SAME = auto()
    """They are of this log, as far as is known."""
    CREATED_AGAIN = auto()
    """They are of a topic that was deleted; another one has its name now."""
    LOST = auto()
    """They are not complete: `aggregation-state` itself was deleted and created again."""


@dataclass
class PartitionLog:
    """What the records of one partition of `aggregation-state` say; `read` takes them in their order.

    The newest record of a sensor counts, not the last one: an aggregation that had lost the partition without noticing
    may have written late.
    """

    windows: dict[int, Window] = field(default_factory=dict)
    horizon: float | None = None
    """The newest time in an evicted window."""
    source: StateSource | None = None
    """The newest one; None while nothing has said it."""
    _evicted: dict[int, int] = field(default_factory=dict)

    def read(self, key: bytes, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> None:
        """Takes the next record."""
        if key == HORIZON:
            self.horizon = max(float(value or -1.0), self.horizon or -1.0)
            return
        if key == SOURCE:
            source = decode_source(value or b"{}")
            if self.source is None or self.source.generation <= source.generation:
                self.source = source
            return
        sensor = int(key)
        known = self.windows.get(sensor)
        if value is None:
            offset = int(dict(headers)["offset"])
            self._evicted[sensor] = max(offset, self._evicted.get(sensor, -1))
            if known is not None and known.offset <= offset:
                del self.windows[sensor]
        else:
            window = decode_window(value)
            if window.offset > self._evicted.get(sensor, -1) and (known is None or known.offset <= window.offset):
                self.windows[sensor] = window

    @property
    def newest_offset(self) -> int:
        """The newest record of `processed-data` in these windows; -1 for none."""
        return max((window.offset for window in self.windows.values()), default=-1)

    def examine(self, log: LogRange) -> StateFit:
        """Compares these windows with the log that they should be of."""
        known = self.source or StateSource()
        if self.newest_offset >= known.base + log.end or (
            known.topic_id != log.topic_id and "" not in (known.topic_id, log.topic_id)
        ):
            return StateFit.CREATED_AGAIN
        if self.source is None and log.committed is not None:  # which is committed after the source is stored
            return StateFit.LOST
        return StateFit.SAME

    @property
    def newest_times(self) -> dict[int, float]:
        """The time of each sensor's newest reading."""
        return {sensor: window.times[-1] for sensor, window in self.windows.items() if window.times}


class State:
    """The windows of an aggregation's partitions, and which of them are newer than their copy in Kafka."""

    def __init__(self) -> None:
        self.windows: dict[int, dict[int, Window]] = defaultdict(dict)
        """By partition and sensor."""
        self.changed: dict[int, set[int]] = defaultdict(set)
        """Sensors whose window has changed since `records` was last called, by partition."""
        self.horizons: dict[int, float] = {}
        """The newest time in an evicted window, by partition: a sensor without a window may have been evicted."""
        self.sources: dict[int, StateSource] = defaultdict(StateSource)
        """The topic of each partition's windows."""

    def new_window(self, partition: int) -> Window:
        """The window of a sensor that has none: empty, or truncated where the sensor may have been evicted."""
        horizon = self.horizons.get(partition)
        if horizon is None:
            return Window(times=[], values=[])
        return Window(times=[], values=[], truncated=True, horizon=horizon)

    def restore(self, loaded: Mapping[int, PartitionLog]) -> None:
        """Takes over these partitions and forgets all others: they may have other owners."""
        self.windows.clear()
        for partition, found in loaded.items():
            base = found.source.base if found.source else 0
            self.windows[partition] = {key: window for key, window in found.windows.items() if window.offset >= base}
        self.changed.clear()
        self.horizons = {partition: found.horizon for partition, found in loaded.items() if found.horizon is not None}
        self.sources.clear()
        self.sources.update({partition: found.source for partition, found in loaded.items() if found.source})

    def follow(self, partition: int, log: LogRange, fit: StateFit, *, latest: float) -> list[StateRecord]:
        """Makes the windows of a partition those of this log; returns the records that keep it: none, where they are.

        The table knows all readings of a topic that is gone, as far as they were ever stored, and all that were in
        windows that are gone: these windows count as evicted. `latest`: no reading so far is newer.
        """
        known, windows, evicted = self.sources[partition], self.windows[partition], dict[int, int]()
        generation = known.generation
        if fit is not StateFit.SAME:
            newest = max((window.offset for window in windows.values()), default=-1)
            generation = max(generation, newest >> OFFSET_BITS) + 1
        if fit is StateFit.CREATED_AGAIN:
            evicted = self.evict(partition, 0)
        elif fit is StateFit.LOST:
            windows.clear()
            self.horizons[partition] = max(latest, self.horizons.get(partition, latest))
        source = StateSource(log.topic_id or known.topic_id, generation)
        if source == known:
            return []
        self.sources[partition] = source
        horizon = self.horizons.get(partition)
        kept: list[StateRecord] = [] if evicted or horizon is None else [(HORIZON, b"%r" % horizon)]
        return [*self.records(partition, evicted), *kept, (SOURCE, encode_source(source))]

    def records(self, partition: int, evicted: Mapping[int, int]) -> list[StateRecord]:
        """The records for everything that has changed since the last call. `evicted`: what `shrink` has returned."""
        windows, changed = self.windows[partition], self.changed[partition]
        records: list[StateRecord] = [(b"%d" % sensor, encode_window(windows[sensor])) for sensor in changed]
        changed.clear()
        if evicted:
            records.append((HORIZON, b"%r" % self.horizons[partition]))
            records += [(b"%d" % sensor, None, [("offset", b"%d" % offset)]) for sensor, offset in evicted.items()]
        return records

    def shrink(self, partition: int, limit: int) -> dict[int, int]:
        """Evicts windows when there are more than `limit`; returns their sensors with the windows' offsets."""
        return self.evict(partition, int(limit * KEPT)) if len(self.windows[partition]) > limit else {}

    def evict(self, partition: int, keep: int) -> dict[int, int]:
        """Forgets all windows but `keep`, the longest idle first; returns as `shrink` does."""
        windows = self.windows[partition]
        idle = sorted(windows, key=lambda sensor: windows[sensor].offset)[: max(0, len(windows) - keep)]
        evicted = {sensor: windows.pop(sensor) for sensor in idle}
        if evicted:
            known = self.horizons.get(partition, -1.0)
            newest = (max((window.horizon, *window.times[-1:])) for window in evicted.values())
            self.horizons[partition] = max(known, *newest)
        self.changed[partition].difference_update(idle)
        return {sensor: window.offset for sensor, window in evicted.items()}
