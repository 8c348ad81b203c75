"""The loader's transaction on a real PostgreSQL: each row once, the fence with it, exact whatever was there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import asyncpg
import pytest

from backend_demo.domain.average import average
from backend_demo.domain.steps import Averages, Key
from backend_demo.storage.write import COPY_ROWS, Copying, FenceLost, Rows, Tables, begin_fence, read_fence, write
from tests.integration.postgres import PostgresServer

PARTITION = ("processed-data", 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    found = PostgresServer(tmp_path_factory.mktemp("write"))
    found.start()
    found.provision()
    found.migrate()
    yield found
    found.end()


@pytest.fixture
def run(server: PostgresServer) -> Callable[[Callable[[Any], Awaitable[Any]]], Any]:
    """Runs `work(connection)` on empty tables."""

    def on_a_connection(work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            connection = await asyncpg.connect(server.dsn("bdemo"))
            try:
                await connection.execute("truncate temperature, average, fence")
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(main())

    return on_a_connection


async def table(connection: Any, name: str) -> dict[Key, float]:
    return {
        (row[0], row[1]): row[2] for row in await connection.fetch(f"select sensor_num, timestamp, value from {name}")
    }


async def load(connection: Any, tables: Tables, **rows: Any) -> tuple[Any, list[Key]]:
    told: list[Key] = []

    async def tell(conflicts: Mapping[Key, float]) -> None:
        told.extend(conflicts)

    return await write(connection, Rows(**rows), tables, window=3, on_conflicts=tell), told


@pytest.mark.parametrize("size", [5, COPY_ROWS * 2])
def test_readings_that_are_there_stay_and_conflicts_are_told(run: Any, size: int) -> None:
    async def work(connection: Any) -> None:
        tables = Tables()
        first = {(1, float(i)): 20.0 for i in range(size)}
        written, told = await load(connection, tables, readings=first)
        assert (written.inserted, told) == (size, [])
        again = {(1, float(i)): 20.0 if i % 2 else 21.0 for i in range(size)} | {(2, 1.0): 22.0}
        written, told = await load(connection, tables, readings=again)
        assert written.inserted == 1
        assert sorted(told) == [(1, float(i)) for i in range(0, size, 2)]
        assert await table(connection, "temperature") == first | {(2, 1.0): 22.0}

    run(work)


@pytest.mark.parametrize("size", [5, COPY_ROWS * 2])
def test_the_last_average_wins(run: Any, size: int) -> None:
    async def work(connection: Any) -> None:
        tables = Tables()
        first = {(1, float(i)): 20.0 for i in range(size)}
        later = {(1, float(i)): 21.0 for i in range(size // 2, size + 3)}
        written, _ = await load(connection, tables, averages=[Averages(first)])
        assert written.averages == size
        written, _ = await load(connection, tables, averages=[Averages(later)])
        assert written.averages == len(later)
        assert await table(connection, "average") == first | later

    run(work)


def test_a_repair_computes_from_the_table_what_a_late_reading_changes(run: Any) -> None:
    async def work(connection: Any) -> None:
        readings = {(1, float(i)): float(i * i) for i in range(10) if i != 3}
        await load(connection, Tables(), readings=readings)
        await load(connection, Tables(), readings={(1, 3.0): 99.0}, averages=[Averages({}, [(1, 3.0)], {1})])
        values = [readings.get((1, float(i)), 99.0) for i in range(10)]
        assert await table(connection, "average") == {(1, float(i)): average(values[i - 2 : i + 1]) for i in (3, 4, 5)}

    run(work)


def test_averages_and_repairs_keep_their_order(run: Any) -> None:
    async def work(connection: Any) -> None:
        steps = [Averages({(1, 1.0): 5.0}, [(1, 1.0)], {1}), Averages({(1, 1.0): 7.0})]
        await load(connection, Tables(), readings={(1, 1.0): 20.0}, averages=steps)
        assert await table(connection, "average") == {(1, 1.0): 7.0}

    run(work)


def test_the_fence_moves_with_the_rows_or_not_at_all(run: Any) -> None:
    async def work(connection: Any) -> None:
        await begin_fence(connection, {PARTITION: 5})
        await load(connection, Tables(), readings={(1, 1.0): 20.0}, fence={PARTITION: (5, 8)})
        assert await read_fence(connection, [PARTITION, ("processed-data", 1)]) == {PARTITION: 8}
        with pytest.raises(FenceLost):  # a loader that was thought dead
            await load(connection, Tables(), readings={(1, 2.0): 21.0}, fence={PARTITION: (5, 9)})
        assert await table(connection, "temperature") == {(1, 1.0): 20.0}
        assert await read_fence(connection, [PARTITION]) == {PARTITION: 8}

    run(work)


def test_conflicts_that_cannot_be_told_undo_the_transaction(run: Any) -> None:
    async def work(connection: Any) -> None:
        async def fail(conflicts: Mapping[Key, float]) -> None:
            raise ConnectionError

        await load(connection, Tables(), readings={(1, 1.0): 20.0})
        rows = Rows(readings={(1, 1.0): 21.0, (1, 2.0): 22.0})
        with pytest.raises(ConnectionError):
            await write(connection, rows, Tables(), window=3, on_conflicts=fail)
        assert await table(connection, "temperature") == {(1, 1.0): 20.0}

    run(work)


def test_copy_is_not_tried_again_at_once_after_it_failed() -> None:
    copying = Copying()
    assert not copying.worth(COPY_ROWS - 1)
    assert copying.worth(COPY_ROWS)
    copying.worked(False)
    pauses = []
    for _ in range(3):
        pause = 1
        while not copying.worth(COPY_ROWS):
            pause += 1
        pauses.append(pause)
        copying.worked(False)
    assert pauses == [4, 8, 16]
    copying.worked(True)
    assert copying.worth(COPY_ROWS)
