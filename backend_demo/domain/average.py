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
    # rounded after each step, as PostgreSQL's sum is; from Python 3.12 on, `sum` that begins with a number carries the
    # rest of each step along, which changes one average in forty
    return round(sum(values, False) / len(values), 2)


class Unchanged(Enum):
    """Why a reading changed no average that the window can tell."""

    DUPLICATE = "duplicate"
    """The same reading was there already."""
    CONFLICT = "conflict"
    """Another value was there under the same identity: the first wins."""
    TOO_OLD = "too_old"
    """It lies before what the window knows: its averages must be computed from the table (a repair)."""


class Window(msgspec.Struct, omit_defaults=True):
    """The newest readings of one sensor, in the order of their time.

    `times` and `values` are of one length. `truncated`: older readings existed and were dropped, so the oldest entries
    lack the predecessors that their own averages would need. `horizon`: what was dropped with an evicted window is not
    newer than this; only the table knows what is there. `offset`: the newest record of `processed-data` that is in
    here, -1 for none.
    """

    times: list[float] = []
    values: list[float] = []
    truncated: bool = False
    offset: int = -1
    horizon: float = -1.0

    def put(self, timestamp: float, value: float, *, window: int) -> list[float] | Unchanged:
        """Puts a reading where it belongs; the times of the averages that it makes or changes, ascending.

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
        """The average of the reading there; None: too few of those before it are known."""
        if index >= window:
            return average(self.values[index + 1 - window : index + 1])
        if self.truncated and index < window - 1:
            return None
        return average(self.values[: index + 1])

    def cut(self, capacity: int) -> None:
        """Keeps the newest readings only."""
        surplus = len(self.times) - capacity
        if surplus > 0:
            del self.times[:surplus], self.values[:surplus]
            self.truncated = True
