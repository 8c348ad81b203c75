"""One embedded stack for the whole suite, open at `listen` too; at its end no process, port or file of it is left."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.testing import running_stack
from tests.support.live import metric
from tests.support.sensors import new_sensor
from tests.support.shell import Shell
from tests.support.wait import eventually

#: The modules that take longest, and so come first: two workers that take the next module then end together.
LONGEST = ("test_recovery", "test_backup", "test_run", "test_kills", "test_scale", "test_tracing", "test_bench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Stack]]:
    with running_stack(tmp_path_factory.mktemp("stack") / "state", listen="127.0.0.1") as found:
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


@pytest.fixture
def bdemo(settings: Settings) -> Shell:
    return Shell(settings.state_dir)


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


@pytest.fixture
def sensor() -> int:
    return new_sensor()


@pytest.fixture
def streams_given_back(settings: Settings) -> Iterator[None]:
    """No stream is left behind."""
    yield
    eventually(lambda: metric(settings, "bdemo_streams") == 0, "that no stream is open")
