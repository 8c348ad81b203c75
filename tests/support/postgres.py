"""A PostgreSQL server for tests: the one that the stack runs, without the stack."""

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from backend_demo.stack.services import postgres
from backend_demo.stack.services.service import ServerAccess
from backend_demo.stack.services.table import users
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.storage import migrate
from tests.support.ports import free_port


class PostgresServer:
    """Keeps its port and its data when it is started again."""

    def __init__(self, folder: Path) -> None:
        self._state = StateDirectory(folder)
        self._state.create(users())
        self.port = free_port()
        self._program = postgres.prepare(self.port, self._state)
        self._log = folder / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._program.command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 30
        access = ServerAccess("127.0.0.1", {"postgres_port": self.port}, self._state.secrets.of)
        while not postgres.accepts(access):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def provision(self) -> None:
        postgres.make_roles("127.0.0.1", self.port, {user: self._state.secrets.of(user) for user in postgres.USERS})

    def migrate(self) -> None:
        migrate.upgrade(self.dsn("bdemo"))

    def end(self, number: signal.Signals = signal.SIGINT) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(20)

    def dsn(self, user: str) -> str:
        return f"postgresql://{user}:{self._state.secrets.of(user)}@127.0.0.1:{self.port}/temperature"

    def sql(self, text: str, *parameters: object) -> list[Any]:
        """Runs one query as superuser; its rows."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.dsn("postgres"))
            try:
                return list(await connection.fetch(text, *parameters))
            finally:
                await connection.close()

        return asyncio.run(run())


@contextlib.contextmanager
def migrated(folder: Path) -> Iterator[PostgresServer]:
    """A running server with the stack's roles and empty tables."""
    server = PostgresServer(folder)
    try:
        server.start()
        server.provision()
        server.migrate()
        yield server
    finally:
        server.end()
