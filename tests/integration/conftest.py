"""One embedded stack for the whole suite; at its end no process, port or file of it is left."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.state import StateDirectory
from backend_demo.testing import running_stack


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Stack]]:
    with running_stack(tmp_path_factory.mktemp("stack") / "state") as found:
        yield found


@pytest.fixture
def settings(running: tuple[Settings, Stack]) -> Settings:
    return running[0]


@pytest.fixture
def stack(running: tuple[Settings, Stack]) -> Stack:
    return running[1]


@pytest.fixture
def state(settings: Settings) -> StateDirectory:
    return StateDirectory(settings.state_dir)


class Shell:
    """Runs `bdemo` as a user would, on the suite's stack."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    def __call__(self, *words: str, code: int = 0, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "backend_demo", *words, "--state-dir", str(self._state_dir)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture
def bdemo(settings: Settings) -> Shell:
    return Shell(settings.state_dir)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port that nothing listens on."""

    def find() -> int:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return int(listener.getsockname()[1])

    return find


@pytest.fixture
def sql(settings: Settings) -> Any:
    """Runs one query, as the owner of the tables; its rows."""

    def query(text: str, *parameters: object) -> list[Any]:
        async def run() -> list[Any]:
            connection = await asyncpg.connect(settings.postgres_dsn)
            try:
                return list(await connection.fetch(text, *parameters))
            finally:
                await connection.close()

        return asyncio.run(run())

    return query
