"""The window of a sensor's newest readings, and the averages that a reading changes: late, repeated or very old."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from enum import Enum

import msgspec


def average(values: Sequence[float]) -> float:
    """Mean of one sensor's newest readings (degrees Celsius, oldest first), rounded to 2 decimals.

    Raises ZeroDivisionError when `values` is empty. Source: docs/explanation/architecture.md, Average.
    """
    # Rounded after each step, as PostgreSQL's sum is: it starts with False because from Python 3.12 on, a `sum` that
    # starts with a number compensates for rounding, which changes one average in forty
    return round(sum(values, False) / len(values), 2)


def averages_since(since: float, readings: Sequence[tuple[float, float]], *, window: int) -> dict[float, float]:
    """The averages of the readings from `since` on, by time. `readings`: (time, value) of one sensor, oldest first."""
    values = [value for _, value in readings]
    return {
        timestamp: average(values[max(0, i + 1 - window) : i + 1])
        for i, (timestamp, _) in enumerate(readings)
        if timestamp >= since
    }


class Unchanged(Enum):
    """Why a reading changed no average that the window can compute."""

    DUPLICATE = "duplicate"
    """The same reading is in the window already."""
    CONFLICT = "conflict"
    """Another value has the same identity: the first wins."""
    TOO_OLD = "too_old"
    """It is older than what the window knows: its averages must be computed from the table (a repair)."""


class Window(msgspec.Struct, omit_defaults=True):
    """The newest readings of one sensor, in the order of their time.

    `times` and `values` have the same length. `truncated`: older readings were dropped, so the oldest entries lack the
    predecessors that their own averages would need. `horizon`: nothing that was dropped with an evicted window is newer
    than this; up to here only the table knows the readings. `offset`: the newest record of `processed-data` in the
    window, -1 for none.
    """

    times: list[float] = []
    values: list[float] = []
    truncated: bool = False
    offset: int = -1
    horizon: float = -1.0

    def put(self, timestamp: float, value: float, *, window: int) -> list[float] | Unchanged:
        """Inserts a reading; returns the times of the averages that it adds or changes, ascending.

        `window`: readings in an average.
        """
        times, values = self.times, self.values
        if timestamp <= self.horizon:
            return Unchanged.TOO_OLD
        at = bisect_left(times, timestamp)
        if at < len(times) and times[at] == timestamp:
            return Unchanged.DUPLICATE if values[at] == value else Unchanged.CONFLICT
        if self.truncated and times and at == 0:
            return Unchanged.TOO_OLD
        times.insert(at, timestamp)
        values.insert(at, value)
        if self.truncated and at < window - 1:
            return Unchanged.TOO_OLD
        return times[at : at + window]

    def average_at(self, index: int, window: int) -> float | None:
        """The average of the reading at `index`; None when too few of the readings before it are known."""
        if index >= window:
            return average(self.values[index + 1 - window : index + 1])
        if self.truncated and index < window - 1:
            return None
        return average(self.values[: index + 1])

    def cut(self, capacity: int) -> None:
        """Keeps only the newest `capacity` readings."""
        surplus = len(self.times) - capacity
        if surplus > 0:
            del self.times[:surplus], self.values[:surplus]
            self.truncated = True
