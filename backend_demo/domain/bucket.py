"""Buckets of time and aggregates of the values in them, as a user writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

AggregateName = Literal["mean", "min", "max", "count", "first", "last"]

AGGREGATES: tuple[AggregateName, ...] = get_args(AggregateName)

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_CALENDAR = {"d": "day", "w": "week", "mo": "month", "y": "year"}
_BUCKET = re.compile(r"([1-9][0-9]{0,4})(s|m|h)|1?(d|w|mo|y)", re.ASCII)


@dataclass(frozen=True)
class Bucket:
    """The length of a bucket: seconds, counted from each day's midnight, or a unit of the calendar."""

    seconds: int | None
    unit: str
    """`day`, `week` (from Monday), `month` or `year`; `day` when the length is in seconds."""


def parse_bucket(text: str) -> Bucket:
    """Parses `30s`, `5m`, `1h`, `1d`, `1w`, `1mo`, `1y`. Raises ValueError, also for `25h`."""
    match = _BUCKET.fullmatch(text)
    if match is None:
        raise ValueError("is not a bucket length: write 30s, 5m, 1h, 1d, 1w, 1mo or 1y")
    if match[3]:
        return Bucket(None, _CALENDAR[match[3]])
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > 86_400:
        raise ValueError("is longer than a day: write 1d, 1w, 1mo or 1y")
    return Bucket(seconds, "day")
