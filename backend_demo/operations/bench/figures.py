"""Turns samples into figures: quantiles, costs, the median run. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What one service took in a run."""

    service: str
    cpu_s: float
    cpu_s_per_1000: float
    """CPU seconds for 1,000 readings: a millisecond here is a microsecond per reading."""
    cores: float
    peak_rss_mb: float


@dataclass(frozen=True)
class Spread:
    """Quantiles of the time that readings took, milliseconds."""

    p50_ms: float
    p99_ms: float
    max_ms: float


def spread(seconds: Sequence[float]) -> Spread:
    """The spread of at least one value, in any order."""
    ordered = sorted(seconds)
    return Spread(*(round(1000 * quantile(ordered, share), 2) for share in (0.5, 0.99, 1.0)))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of these values that at least this share of them does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def value_at(times: Sequence[float], values: Sequence[float], when: float) -> float:
    """A growing value at a time between two samples, by linear interpolation."""
    after = bisect_left(times, when)
    if after == 0:
        return values[0]
    if after == len(times):
        return values[-1]
    begin, end = times[after - 1], times[after]
    return values[after - 1] + (values[after] - values[after - 1]) * (when - begin) / (end - begin)


def median_run(runs: Sequence[T], figure: Callable[[T], float]) -> T:
    """The median run by this figure. Its figures belong together; those of a mean of runs would not."""
    return sorted(runs, key=figure)[(len(runs) - 1) // 2]
