"""The window of a sensor's last readings: late, repeated and very old ones, and the averages that they change."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from enum import Enum

import msgspec


def average(values: Sequence[float]) -> float:
    """Mean of one sensor's newest readings (degrees Celsius, oldest first), rounded to 2 decimals.

    Raises ZeroDivisionError when there are none. Source: docs/architecture.md, Average.
    """
    return round(sum(values) / len(values), 2)


class Unchanged(Enum):
    """Why a reading changed no average that the window can tell."""

    DUPLICATE = "duplicate"
    """The same reading was there already."""
    CONFLICT = "conflict"
    """Another value was there under the same identity: the first wins."""
    TOO_OLD = "too_old"
    """It lies before what the window knows: its averages must be computed from the table (a repair)."""


class Window(msgspec.Struct, omit_defaults=True):
    """The newest readings of one sensor, in the order of their time; a function of the set of readings only.

    `times` and `values` are of one length, at most the aggregator's capacity. `truncated`: older readings existed and
    were dropped, so the oldest entries lack the predecessors that their own averages would need. `horizon`: what was
    dropped with an evicted window is not newer than this; only the table knows what is there.
    `offset`: the newest record of `processed-data` that is in here, -1 for none.
    """

    times: list[float] = []
    values: list[float] = []
    truncated: bool = False
    offset: int = -1
    horizon: float = -1.0

    def append(self, timestamp: float, value: float, *, window: int, capacity: int) -> float | None:
        """Puts a reading that is newer than all others at the end; its average. Parameters as for `insert`.

        None: too few of those before it are known.
        """
        values = self.values
        self.times.append(timestamp)
        values.append(value)
        if len(values) > capacity:
            self._cut()
        if self.truncated and len(values) < window:
            return None
        return average(values[-window:])

    def insert(
        self, timestamp: float, value: float, *, window: int, capacity: int
    ) -> list[tuple[float, float]] | Unchanged:
        """Puts a reading where it belongs; the averages that it makes or changes, as (timestamp, average).

        `window`: readings in an average; `capacity`: readings kept, at least `window`.
        """
        times, values = self.times, self.values
        size = len(times)
        if timestamp <= self.horizon:
            return Unchanged.TOO_OLD
        if not size or timestamp > times[-1]:
            newest = self.append(timestamp, value, window=window, capacity=capacity)
            return Unchanged.TOO_OLD if newest is None else [(timestamp, newest)]
        at = bisect_left(times, timestamp)
        if at < size and times[at] == timestamp:
            return Unchanged.DUPLICATE if values[at] == value else Unchanged.CONFLICT
        if self.truncated and at == 0:
            return Unchanged.TOO_OLD
        times.insert(at, timestamp)
        values.insert(at, value)
        changed: list[tuple[float, float]] | Unchanged
        if self.truncated and at < window - 1:
            changed = Unchanged.TOO_OLD
        else:
            changed = [
                (times[i], average(values[max(0, i + 1 - window) : i + 1]))
                for i in range(at, min(at + window, size + 1))
            ]
        if len(times) > capacity:
            self._cut()
        return changed

    def _cut(self) -> None:
        del self.times[0], self.values[0]
        self.truncated = True
