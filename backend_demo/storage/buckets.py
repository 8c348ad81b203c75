"""Aggregates the rows of several sensors by buckets of time that follow the calendar of a time zone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from backend_demo.domain.bucket import AggregateName, Bucket
from backend_demo.storage.selection import Selection, conditions

_SQL: dict[AggregateName, str] = {
    "mean": "sum(value) / count(*)",  # avg() sums the squares too, and fails from 1e154 on
    "min": "min(value)",
    "max": "max(value)",
    "count": "count(*)",
    "first": "(array_agg(value order by timestamp))[1]",
    "last": "(array_agg(value order by timestamp desc))[1]",
}


class MeanTooLarge(Exception):
    """The sum of a bucket's values is beyond what a float holds."""


async def page(
    connection: Any, wanted: Selection, size: Bucket, aggregates: Sequence[AggregateName], zone: str, limit: int
) -> tuple[list[tuple[Any, ...]], bool]:
    """The next buckets that are not empty, at most `limit`, and whether there are more.

    Each row is sensor_num, the bucket's begin (epoch seconds) and the aggregates. `wanted.after`: the last bucket of
    the previous page. `zone`: an IANA time zone that PostgreSQL knows. Raises MeanTooLarge.
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
    columns = ", ".join(_SQL[each] for each in aggregates)
    query = f"""
        select * from (
          select sensor_num, extract(epoch from {begin})::float8 as begin, {columns}
          from {wanted.series} where {where} group by 1, 2
        ) buckets {having} order by sensor_num {direction}, begin {direction} limit {limit + 1:d}
    """  # noqa: S608 - names of ours, values are parameters
    try:
        rows = [tuple(row) for row in await connection.fetch(query, *parameters)]
    except asyncpg.NumericValueOutOfRangeError as problem:
        raise MeanTooLarge from problem
    return rows[:limit], len(rows) > limit
