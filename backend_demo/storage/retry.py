"""Which failures of PostgreSQL pass by themselves."""

from __future__ import annotations

import asyncpg

#: Connection lost, shut down or starting; serialization failure, deadlock; no resources (full disk, memory, slots).
TRANSIENT_CLASSES = ("08", "57P", "40", "53")

#: The connection is gone. The internal error: PostgreSQL has said farewell (57P01) and not yet hung up.
LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError)

#: What asyncpg raises when PostgreSQL is away; it passes the operating system's errors on as they are.
FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, *LOST)


def is_transient(problem: BaseException) -> bool:
    """Whether trying again, on a new connection, may help."""
    if isinstance(problem, asyncpg.PostgresError):
        return str(problem.sqlstate or "").startswith(TRANSIENT_CLASSES)
    return isinstance(problem, (OSError, TimeoutError, *LOST))
