"""PostgreSQL is reached as the DSN says, whatever libpq's variables say in the user's shell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from backend_demo.adapters import postgres
from backend_demo.storage.migrate import upgrade
from tests.support.hostile import HOSTILE
from tests.support.postgres import PostgresServer, migrated

LIBPQ = [name for name in HOSTILE if name.startswith("PG")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with migrated(tmp_path_factory.mktemp("variables")) as found:
        yield found


def asked(dsn: str) -> Any:
    """The answer of a connection of its own."""

    async def ask() -> Any:
        connection = await postgres.connect(dsn)
        try:
            return await connection.fetchval("select current_user || ' ' || current_database()")
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.mark.parametrize("name", LIBPQ)
def test_no_variable_of_libpq_counts(server: PostgresServer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, HOSTILE[name])
    assert asked(server.dsn("bdemo")) == "bdemo temperature"


def test_migrations_obey_none_of_them(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LIBPQ:
        monkeypatch.setenv(name, HOSTILE[name])
    upgrade(server.dsn("bdemo"))


def test_a_password_may_be_in_the_environment(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    before, _, after = server.dsn("bdemo").rpartition("@")
    monkeypatch.setenv("PGPASSWORD", before.rpartition(":")[2])
    assert asked(f"{before.rpartition(':')[0]}@{after}") == "bdemo temperature"
