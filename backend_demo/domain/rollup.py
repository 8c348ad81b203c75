"""Hours: the unit in which readings and averages are summarised for long ranges."""

from __future__ import annotations

from collections.abc import Collection

from backend_demo.domain.loading import Key

#: Length of an hour, seconds. Hours are UTC's: they begin at multiples of it.
HOUR_S = 3600.0

Touched = tuple[list[int], list[float]]
"""Sensors, and for each the begin of an hour (epoch seconds) in which one of its rows is new or changed."""


def touched(keys: Collection[Key]) -> Touched:
    """The sensors and hours of these rows, each pair once."""
    if not keys:
        return [], []
    of, times = zip(*keys, strict=True)
    first = min(times) // HOUR_S
    if first == max(times) // HOUR_S:  # nearly always, and it takes a quarter of the time
        sensors = list(set(of))
        return sensors, [first * HOUR_S] * len(sensors)
    pairs = {(sensor, timestamp // HOUR_S) for sensor, timestamp in keys}
    return [sensor for sensor, _ in pairs], [hour * HOUR_S for _, hour in pairs]
