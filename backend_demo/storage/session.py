"""One connection to PostgreSQL, made again for as long as PostgreSQL is away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from backend_demo.adapters import postgres
from backend_demo.adapters.backoff import Backoff

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: The client's limit for a statement, seconds: for a server that hangs.
COMMAND_TIMEOUT_S = 60.0
#: Loaders that lost the same PostgreSQL do not all return at one moment.
BACKOFF = Backoff(first_s=0.2, longest_s=2.0, spread=0.5)


class Session:
    """Runs one piece of work at a time."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Runs `work(connection)`; while PostgreSQL is away, waits and runs it again on a new connection.

        Raises what `work` raises and waiting does not fix.
        """
        failures = 0
        while True:
            try:
                return await work(await self._connected())
            except postgres.FAILURES as problem:
                if not postgres.is_transient(problem):
                    raise
                failures += 1
                log.warning("waiting for PostgreSQL", problem=type(problem).__name__, detail=str(problem)[:200])
                self.close()
                await asyncio.sleep(BACKOFF.delay_s(failures, random.random()))  # noqa: S311 - no secret

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await postgres.connect(self._dsn, command_timeout_s=COMMAND_TIMEOUT_S)
        return self._connection

    def close(self) -> None:
        """Closes the connection without waiting for the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
