"""Buckets of time, and what is told of the values in them: the words that a user writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Aggregate = Literal["mean", "min", "max", "count", "first", "last"]

AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_CALENDAR = {"d": "day", "w": "week", "mo": "month", "y": "year"}
_BUCKET = re.compile(r"([1-9][0-9]{0,4})(s|m|h)|1?(d|w|mo|y)", re.ASCII)


@dataclass(frozen=True)
class Bucket:
    """How long a bucket is: so many seconds, counted from each day's midnight, or a unit of the calendar."""

    seconds: int | None
    unit: str
    """`day`, `week` (from Monday), `month`, `year`; of seconds, `day`."""


def parse_bucket(text: str) -> Bucket:
    """`30s`, `5m`, `1h`, `1d`, `1w`, `1mo`, `1y`. Raises ValueError for anything else, or more than a day in hours."""
    match = _BUCKET.fullmatch(text)
    if match is None:
        raise ValueError("is no bucket: write 30s, 5m, 1h, 1d, 1w, 1mo or 1y")
    if match[3]:
        return Bucket(None, _CALENDAR[match[3]])
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > 86_400:
        raise ValueError("is longer than a day: write 1d, 1w, 1mo or 1y")
    return Bucket(seconds, "day")
