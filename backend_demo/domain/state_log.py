"""The aggregation's state: the windows of its sensors, and the records that keep a copy of them in Kafka."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from backend_demo.domain.average import Window

#: Share of a partition's windows that is kept when it has too many.
KEPT = 0.9

#: Key of the record with the newest time in an evicted window of its partition; all other keys are sensors.
HORIZON = b"horizon"

StateRecord = tuple[bytes, bytes | None] | tuple[bytes, bytes | None, list[tuple[str, bytes]]]
"""Key, value and, in the record of an evicted window, headers."""

encode_window = msgspec.json.Encoder().encode
decode_window = msgspec.json.Decoder(Window).decode


@dataclass
class PartitionLog:
    """What the records of one partition of `aggregation-state` say; `read` takes them in their order.

    The newest record of a sensor counts, not the last one: an aggregation that had lost the partition without noticing
    may have written late.
    """

    windows: dict[int, Window] = field(default_factory=dict)
    horizon: float | None = None
    """The newest time in an evicted window."""
    _evicted: dict[int, int] = field(default_factory=dict)

    def read(self, key: bytes, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> None:
        """Takes the next record."""
        if key == HORIZON:
            self.horizon = max(float(value or -1.0), self.horizon or -1.0)
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

    def new_window(self, partition: int) -> Window:
        """The window of a sensor that has none: empty, or truncated where the sensor may have been evicted."""
        horizon = self.horizons.get(partition)
        if horizon is None:
            return Window(times=[], values=[])
        return Window(times=[], values=[], truncated=True, horizon=horizon)

    def restore(self, loaded: Mapping[int, PartitionLog]) -> None:
        """Takes over these partitions and forgets all others: they may have other owners."""
        self.windows.clear()
        self.windows.update({partition: found.windows for partition, found in loaded.items()})
        self.changed.clear()
        self.horizons = {partition: found.horizon for partition, found in loaded.items() if found.horizon is not None}

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
