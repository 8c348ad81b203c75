"""Rows of several sensors, summed up by buckets of time that follow the calendar of a time zone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import asyncpg

from backend_demo.storage.selection import Selection, conditions

Aggregate = Literal["mean", "min", "max", "count", "first", "last"]

AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)

_SQL: dict[Aggregate, str] = {
    "mean": "sum(value) / count(*)",  # avg() sums the squares too, and fails from 1e154 on
    "min": "min(value)",
    "max": "max(value)",
    "count": "count(*)",
    "first": "(array_agg(value order by timestamp))[1]",
    "last": "(array_agg(value order by timestamp desc))[1]",
}

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_CALENDAR = {"d": "day", "w": "week", "mo": "month", "y": "year"}
_BUCKET = re.compile(r"([1-9][0-9]{0,4})(s|m|h)|1?(d|w|mo|y)", re.ASCII)


@dataclass(frozen=True)
class Bucket:
    """How long a bucket is: so many seconds, counted from each day's midnight, or a unit of the calendar."""

    seconds: int | None
    unit: str
    """`day`, `week` (from Monday), `month`, `year`; of seconds, `day`."""


def bucket(text: str) -> Bucket:
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


class MeanTooLarge(Exception):
    """The sum of a bucket's values is beyond what a float holds."""


async def page(
    connection: Any, wanted: Selection, size: Bucket, aggregates: Sequence[Aggregate], zone: str, limit: int
) -> tuple[list[tuple[Any, ...]], bool]:
    """The next buckets that hold anything, at most `limit`, and whether there are more.

    Each is sensor_num, its begin (epoch seconds), and the aggregates. `wanted.after`: the last bucket of the page
    before. `zone`: a name of the IANA database that PostgreSQL knows. Raises MeanTooLarge.
    """
    where, parameters = conditions(wanted)
    parameters = [*parameters, zone]
    midnight = f"date_trunc('{size.unit}', to_timestamp(timestamp), ${len(parameters)})"
    begin = midnight
    if size.seconds is not None:
        begin = f"date_bin('{size.seconds} seconds', to_timestamp(timestamp), {midnight})"
    having = ""
    if wanted.after is not None:
        parameters += wanted.after
        sign = "<" if wanted.descending else ">"
        having = f"where (sensor_num, begin) {sign} (${len(parameters) - 1}::bigint, ${len(parameters)}::float8)"
    direction = "desc" if wanted.descending else "asc"
    told = ", ".join(_SQL[each] for each in aggregates)
    query = f"""
        select * from (
          select sensor_num, extract(epoch from {begin})::float8 as begin, {told}
          from {wanted.series} where {where} group by 1, 2
        ) buckets {having} order by sensor_num {direction}, begin {direction} limit {limit + 1:d}
    """
    try:
        rows = [tuple(row) for row in await connection.fetch(query, *parameters)]
    except asyncpg.NumericValueOutOfRangeError as problem:
        raise MeanTooLarge from problem
    return rows[:limit], len(rows) > limit
