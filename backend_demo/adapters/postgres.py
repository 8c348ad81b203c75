"""Connecting to PostgreSQL: options, credentials, time limits, and which failures pass by themselves.

A DSN decides for itself, and means what it means to libpq. Of the environment of the user's shell only a password
counts that the DSN leaves out: PGPASSWORD, or ~/.pgpass (PGPASSFILE).
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from backend_demo.settings_dsn import understood

#: One attempt to connect, seconds.
CONNECT_TIMEOUT_S = 5.0

#: Connection lost, shut down or starting; serialization failure, deadlock; no resources (full disk, memory, slots).
TRANSIENT_CLASSES = ("08", "57P", "40", "53")

#: The connection is gone. The internal error: PostgreSQL has said farewell (57P01) and not yet hung up.
LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError)

#: What asyncpg raises when PostgreSQL is away; it passes the operating system's errors on as they are.
FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, *LOST)


class _FewVariables:
    """The module `os` for the part of asyncpg that reads variables: of a password, and of nothing else."""

    _real: Any = asyncpg.connect_utils.os

    @property
    def environ(self) -> dict[str, str]:
        known = ("PGPASSWORD", "PGPASSFILE")
        return {name: value for name, value in self._real.environ.items() if name in known}

    def getenv(self, name: str, default: str | None = None) -> str | None:
        return self.environ.get(name, default)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


# asyncpg looks up each argument that it is not given, also behind a DSN: PGSSLMODE, PGTARGETSESSIONATTRS, PGGSSLIB
asyncpg.connect_utils.os = _FewVariables()


class PostgresRefusal(ConnectionError):
    """No connection, for a reason that does not pass by itself: the DSN, or a certificate."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"{reason}; {hint}")


def is_transient(problem: BaseException) -> bool:
    """Whether trying again, on a new connection, may help."""
    if isinstance(problem, PostgresRefusal):
        return False
    if isinstance(problem, asyncpg.PostgresError):
        return str(problem.sqlstate or "").startswith(TRANSIENT_CLASSES)
    return isinstance(problem, (OSError, TimeoutError, *LOST))


async def connect(
    dsn: str,
    *,
    application: str = "",
    timeout_s: float = CONNECT_TIMEOUT_S,
    command_timeout_s: float | None = None,
    settings: dict[str, str] | None = None,
) -> asyncpg.Connection:
    """A connection to the database that the DSN names. Raises FAILURES.

    `application`: the connection's name in PostgreSQL's own views. `command_timeout_s`: the client's limit for
    each statement. `settings`: of the server, for this session.
    """
    return await _connect(
        dsn, timeout=timeout_s, command_timeout=command_timeout_s, server_settings=_session(application, settings)
    )


async def _connect(dsn: str, *, timeout: float, **more: Any) -> asyncpg.Connection:
    """As asyncpg's, for a DSN that means what it means to libpq. Raises FAILURES, of which PostgresRefusal is one."""
    found = understood(dsn)
    limit = timeout if found.connect_timeout_s is None else found.connect_timeout_s
    tls = {} if found.tls is None else {"ssl": found.tls}
    try:
        return await asyncpg.connect(found.text, timeout=None if limit == float("inf") else limit, **tls, **more)
    except ssl.SSLCertVerificationError as problem:
        reason = f"has a certificate that cannot be used: {problem.verify_message.rstrip('.')}"
        raise PostgresRefusal(f"PostgreSQL {reason}", "check sslmode and sslrootcert in the DSN") from problem
    except ssl.SSLError as problem:
        raise PostgresRefusal(
            f"no TLS with PostgreSQL: {problem.reason}", "check the ssl options of the DSN"
        ) from problem
    except ConnectionError as problem:
        if "rejected SSL upgrade" not in str(problem):
            raise
        raise PostgresRefusal(
            "PostgreSQL does not use TLS", "use sslmode=prefer in the DSN, or switch TLS on"
        ) from problem
    except (asyncpg.ClientConfigurationError, FileNotFoundError) as problem:
        if isinstance(problem, FileNotFoundError) and "/.s.PGSQL." in str(problem.filename or problem):
            raise  # the socket of a server that is away
        reason = str(problem).strip().splitlines()[0]
        raise PostgresRefusal(f"the PostgreSQL DSN cannot be used: {reason}", "correct it") from problem


async def connect_to_stack(
    host: str, port: int, user: str, password: str, database: str = "temperature"
) -> asyncpg.Connection:
    """A connection to a stack's own server, without TLS: it listens on loopback or in its network of containers only.

    All is named, so nothing is taken from the environment. Raises FAILURES.
    """
    return await asyncpg.connect(host=host, port=port, user=user, password=password, database=database, ssl=False)


def pool(
    dsn: str,
    *,
    application: str,
    size: int,
    command_timeout_s: float,
    settings: dict[str, str],
    reset: Callable[[Any], Awaitable[None]],
) -> asyncpg.Pool:
    """Up to `size` connections like those of `connect`; making it connects to nothing, awaiting it prepares it.

    `reset` is awaited before a connection goes back.
    """
    return asyncpg.create_pool(
        dsn,
        connect=_connect,
        min_size=0,
        max_size=size,
        reset=reset,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=command_timeout_s,
        server_settings=_session(application, settings),
    )


def reading_only(*, statement_timeout_s: float, idle_timeout_s: float) -> dict[str, str]:
    """Server settings of a session that only reads.

    The server ends a statement that takes too long, and a transaction whose client has stopped reading: it would hold
    back vacuum.
    """
    return {
        "default_transaction_read_only": "on",
        "statement_timeout": f"{max(1, round(statement_timeout_s * 1000))}ms",
        "idle_in_transaction_session_timeout": f"{round(idle_timeout_s * 1000)}ms",
    }


def _session(application: str, settings: dict[str, str] | None) -> dict[str, str]:
    return {**({"application_name": application} if application else {}), **(settings or {})}
