"""Retention: rows that are older than the setting `retention` are dropped, a day at a time, once they are summarised.

The table's one row says from when on readings are taken. It moves first, then the last old hours are summarised, then
their rows are dropped: no reading can come between. What drops is a function of the tables' owner (migration 0005).
"""

from __future__ import annotations

import asyncio
from typing import Any

from backend_demo.adapters.postgres import FAILURES, connect
from backend_demo.errors import ServiceFailed
from backend_demo.storage.hours import LIMIT_S, alone


class TooOld(Exception):
    """A transaction brings rows of a time that is no longer kept; `kept_from`: the earliest that is."""

    def __init__(self, kept_from: float) -> None:
        super().__init__(kept_from)
        self.kept_from = kept_from


async def advance(connection: Any) -> float:
    """Moves the time from which on readings are kept, by whole days; returns it (-inf: for ever)."""
    return float(await connection.fetchval("select advance_retention()"))


async def drop_day(connection: Any, *, window: int) -> int | None:
    """Drops the oldest day of both tables that is no longer kept; the number of its readings. None: there is none.

    `window`: readings in an average. Each sensor keeps its last rows, as many as the next averages need.
    """
    async with connection.transaction():
        if not await alone(connection):
            return None
        dropped = await connection.fetchval("select drop_readings($1)", window - 1, timeout=LIMIT_S)
    return None if dropped is None else int(dropped)


def set_policy(dsn: str, keep_s: float) -> None:
    """Stores how long rows are kept, as the tables' owner; 0: for ever. Raises ServiceFailed."""

    async def store() -> None:
        connection = await connect(dsn)
        try:
            await connection.execute("update retention set keep_s = nullif($1::float8, 0)", keep_s)
        finally:
            await connection.close()

    try:
        asyncio.run(store())
    except FAILURES as problem:
        raise ServiceFailed(
            f"cannot store how long readings are kept: {problem}", hint="see: bdemo status"
        ) from problem
