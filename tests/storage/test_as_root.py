"""PostgreSQL of a stack of root's: another user, with no right of root's, below folders of root's."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from backend_demo.stack.services import postgres_server
from tests.support.postgres import PostgresServer, migrated

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="nothing changes its user without root")

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    folder = tmp_path_factory.mktemp("root")
    assert folder.parent.stat().st_mode & 0o077 == 0, "only root may pass through"
    with migrated(folder) as found:
        yield found


def test_no_process_has_a_right_of_roots(server: PostgresServer) -> None:
    server.sql("select pg_sleep(0)")
    data = server.sql("select pid from pg_stat_activity where backend_type = 'checkpointer'")[0][0]
    processes = postgres_server.backends_in(Path(f"/proc/{data}/cwd").resolve())
    assert len(processes) > 3
    for process in processes:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        assert {name: int(status[name], 16) for name in CAPABILITIES} == dict.fromkeys(CAPABILITIES, 0)
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Groups"].split() == []
        user = pwd.getpwnam("nobody")
        assert status["Uid"].split() == [str(user.pw_uid)] * 4
        assert status["Gid"].split() == [str(user.pw_gid)] * 4


@pytest.mark.parametrize("file", ["/etc/shadow", "/etc/gshadow"])
def test_its_superuser_cannot_read_what_is_roots(server: PostgresServer, file: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        server.sql("select pg_read_file($1)", file)


def test_what_it_loads_later_is_found(server: PostgresServer) -> None:
    """A backend reads its library and its time zones when they are first used."""
    server.sql("do $$ begin perform 1; end $$")
    assert server.sql("select '2026-01-01 00:00 Europe/Berlin'::timestamptz")
    server.sql("select pg_reload_conf()")
    server.sql("checkpoint")
