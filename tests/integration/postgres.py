"""A PostgreSQL of a test's own: the server that the stack runs, without the stack."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from backend_demo.stack.servers import postgres
from backend_demo.stack.state import StateDirectory
from backend_demo.storage import migrate


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgresServer:
    """On the same port and the same data whenever it is started."""

    def __init__(self, folder: Path) -> None:
        self._state = StateDirectory(folder)
        self._state.create()
        self.port = free_port()
        self._program = postgres.prepare(self.port, self._state)
        self._log = folder / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._program.command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 30
        while not postgres.answers(self.port, self._state):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def provision(self) -> None:
        postgres.provision(self.port, self._state)

    def migrate(self) -> None:
        migrate.upgrade(self.dsn("bdemo"))

    def end(self, number: signal.Signals = signal.SIGINT) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(20)

    def dsn(self, user: str) -> str:
        return f"postgresql://{user}:{self._state.secret(user)}@127.0.0.1:{self.port}/temperature"

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
    """A server that runs, with the stack's roles and its tables, which are empty."""
    server = PostgresServer(folder)
    try:
        server.start()
        server.provision()
        server.migrate()
        yield server
    finally:
        server.end()
