"""What can be said of PostgreSQL without one: which failures pass, and the settings of a session."""

from __future__ import annotations

import asyncpg
import pytest

from backend_demo.adapters.postgres import is_transient, reading_only


@pytest.mark.parametrize(
    "problem",
    [
        ConnectionRefusedError(),
        FileNotFoundError(),
        TimeoutError(),
        asyncpg.InterfaceError("the connection is closed"),
        asyncpg.InternalClientError("unexpected"),
        asyncpg.ConnectionDoesNotExistError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.AdminShutdownError(),
        asyncpg.DeadlockDetectedError(),
        asyncpg.SerializationError(),
        asyncpg.DiskFullError(),
        asyncpg.TooManyConnectionsError(),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_these_failures_pass_by_themselves(problem: Exception) -> None:
    assert is_transient(problem)


@pytest.mark.parametrize(
    "problem",
    [
        asyncpg.UndefinedTableError(),
        asyncpg.InvalidPasswordError(),
        asyncpg.InvalidCatalogNameError(),
        asyncpg.UniqueViolationError(),
        asyncpg.QueryCanceledError(),
        ValueError(),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_these_do_not(problem: Exception) -> None:
    assert not is_transient(problem)


def test_a_session_that_only_reads_has_limits_in_milliseconds() -> None:
    assert reading_only(statement_timeout_s=10.0, idle_timeout_s=60.0) == {
        "default_transaction_read_only": "on",
        "statement_timeout": "10000ms",
        "idle_in_transaction_session_timeout": "60000ms",
    }


def test_the_least_statement_timeout_is_not_zero_which_would_mean_none() -> None:
    assert reading_only(statement_timeout_s=0.0001, idle_timeout_s=1.0)["statement_timeout"] == "1ms"
