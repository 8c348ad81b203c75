"""One connection to PostgreSQL that comes back, for as long as it takes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import structlog

from backend_demo.storage.retry import FAILURES, is_transient

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Session:
    """Runs one piece of work at a time."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Runs `work(connection)`, again on a new connection for as long as PostgreSQL is away.

        Raises what does not pass by itself.
        """
        attempt = 0
        while True:
            try:
                return await work(await self._connected())
            except FAILURES as problem:
                if not is_transient(problem):
                    raise
                attempt += 1
                log.warning("waits for PostgreSQL", problem=type(problem).__name__, detail=str(problem)[:200])
                self.close()
                await asyncio.sleep(min(2.0, 0.1 * 2 ** min(attempt, 6)) * random.uniform(0.5, 1.0))

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=60)
        return self._connection

    def close(self) -> None:
        """Ends the connection without waiting."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
