"""A bounded pool of read-only connections to PostgreSQL, and its errors in plain words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from backend_demo.adapters import postgres
from backend_demo.adapters.postgres import FAILURES, LOST
from backend_demo.errors import ServiceFailed

_T = TypeVar("_T")

POOL_SIZE = 8
#: Connections that ranges may hold: a few slow readers of long ranges leave the rest to quick queries.
RANGES_AT_ONCE = 5
ACQUIRE_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 10.0
#: Limit for a client that stops reading in the middle of a range: it must not hold back vacuum for ever.
IDLE_TRANSACTION_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 1.0

_CONNECTION_LOST = "the connection was lost"

#: The reason by SQLSTATE or its class; any other one means that our query is wrong.
_REASONS = {
    "08": _CONNECTION_LOST,
    "25P03": "the client stopped reading",
    "28": "it refuses these credentials",
    "3D000": "the database is missing",
    "3F000": "the tables are missing",
    "42501": "this user may not read the tables",
    "42703": "the tables are of another version",
    "42P01": "the tables are missing",
    "53": "it is short of resources",
    "57014": f"the query took longer than {STATEMENT_TIMEOUT_S:.0f} s",
    "57P": "it starts, stops or has ended this connection",
}


class DatabaseUnavailable(ServiceFailed):
    """PostgreSQL does not answer at the moment, or lacks our tables; the same query may succeed later."""

    code = "database_unavailable"

    def __init__(self, reason: str, state: str = "") -> None:
        super().__init__(f"PostgreSQL: {reason}", hint="see: bdemo status")
        self.reason = reason
        self.lost = reason == _CONNECTION_LOST or state.startswith(("08", "57P01"))
        """This connection is dead, perhaps for long; another one may work."""
        self.misconfigured = state.startswith(("28", "3D000"))
        """The credentials or the database's name are wrong: waiting does not help."""


class QueryTooLong(DatabaseUnavailable):
    """A query took too long: it asks for too much, or PostgreSQL is overloaded."""

    code = "query_too_long"

    def __init__(self) -> None:
        super().__init__(_REASONS["57014"], "57014")


class Database:
    """A database. Nothing is connected at first; connections open when needed and are replaced when dead.

    The pool is asyncpg's own: a sensor's newest reading takes 0.13 ms, through SQLAlchemy's engine 0.6 ms.
    """

    def __init__(self, dsn: str, *, application: str = "bdemo gateway") -> None:
        """`application`: the name of these connections in PostgreSQL's own views."""
        self._ranges = asyncio.Semaphore(RANGES_AT_ONCE)
        # asyncpg's pool lets a new request overtake those that wait: one in a hundred waited seven times as long
        self._turns = asyncio.Semaphore(POOL_SIZE)
        self._pool = postgres.pool(
            dsn,
            application=application,
            size=POOL_SIZE,
            # for a server that hangs: one that runs ends a slow query itself
            command_timeout_s=STATEMENT_TIMEOUT_S + 2,
            settings=postgres.reading_only(
                statement_timeout_s=STATEMENT_TIMEOUT_S, idle_timeout_s=IDLE_TRANSACTION_TIMEOUT_S
            ),
            reset=_leave_as_it_is,
        )

    async def __aenter__(self) -> Database:
        await self._pool
        return self

    async def __aexit__(self, *problem: object) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """An asyncpg connection. Raises DatabaseUnavailable, also for what a query in the block raises."""
        await self._wait_for_turn()
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except FAILURES as problem:
            state = str(getattr(problem, "sqlstate", None) or "")
            reason = self._reason(problem, state)
            if reason is None:
                raise
            if state == "57014":
                raise QueryTooLong from problem
            failed = DatabaseUnavailable(reason, state)
            if failed.lost:
                # most likely the others are lost too and do not know it yet: a second try must not get one of them
                await self._pool.expire_connections()
            raise failed from problem
        finally:
            self._turns.release()

    async def _wait_for_turn(self) -> None:
        if not self._turns.locked():
            await self._turns.acquire()
            return
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
                await self._turns.acquire()
        except TimeoutError:
            raise DatabaseUnavailable("all connections are busy") from None

    async def read(self, query: Callable[[Any], Awaitable[_T]]) -> _T:
        """Returns the result of `query(connection)`; tries another connection when the first turns out to be dead."""
        try:
            async with self.connection() as connection:
                return await query(connection)
        except DatabaseUnavailable as problem:
            if not problem.lost:
                raise
        async with self.connection() as connection:
            return await query(connection)

    @contextlib.asynccontextmanager
    async def range_connection(self) -> AsyncIterator[Any]:
        """As `connection`, for a range, which is read at its client's pace."""
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
                await self._ranges.acquire()
        except TimeoutError:
            raise DatabaseUnavailable(f"{RANGES_AT_ONCE} ranges are being read already") from None
        try:
            async with self.connection() as connection:
                yield connection
        finally:
            self._ranges.release()

    @staticmethod
    def _reason(problem: Exception, state: str) -> str | None:
        if isinstance(problem, TimeoutError):
            return "it does not answer"
        if isinstance(problem, ConnectionRefusedError | FileNotFoundError):
            return "it refuses connections"
        if isinstance(problem, (OSError, *LOST)):
            return _CONNECTION_LOST
        return next((reason for prefix, reason in _REASONS.items() if state.startswith(prefix)), None)


async def _leave_as_it_is(connection: Any) -> None:
    """No session setting is ever changed, so RESET ALL (0.08 ms a query) would reset nothing."""
