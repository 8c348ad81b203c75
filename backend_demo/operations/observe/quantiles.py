"""Quantiles of a histogram's buckets, as Prometheus' histogram_quantile estimates them."""

from __future__ import annotations

import math
from collections.abc import Mapping


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """The value below which the share `q` (0 to 1) of the observations lies; None when there are none.

    `buckets`: how many observations were at most so large, by upper bound, one of them infinite. Within a bucket the
    observations count as spread evenly; of the last one only its lower bound is known, and that is the answer.
    """
    bounds = sorted(buckets)
    if not bounds or bounds[-1] != math.inf:
        return None
    counts: list[float] = []
    for bound in bounds:  # read while observations went on, a count can be ahead of the next one
        counts.append(max(buckets[bound], counts[-1] if counts else 0.0))
    if counts[-1] <= 0:
        return None
    rank = q * counts[-1]
    at = next(place for place, count in enumerate(counts) if count >= rank)
    if bounds[at] == math.inf:
        return bounds[at - 1] if at else None
    below = counts[at - 1] if at else 0.0
    if not at and bounds[0] <= 0:
        return bounds[0]
    lower = bounds[at - 1] if at else 0.0
    return lower + (bounds[at] - lower) * ((rank - below) / (counts[at] - below) if counts[at] > below else 0.0)
