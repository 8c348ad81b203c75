"""The loader's transaction on a real PostgreSQL: each row once, the fence with it, exact whatever was there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import asyncpg
import pytest

from backend_demo.domain.average import average
from backend_demo.domain.fence import FenceRow
from backend_demo.domain.loading import Averages, Key, LoadPlan
from backend_demo.storage.copying import COPY_ROWS, Tables
from backend_demo.storage.fence import FenceLost, move_fence, read_fence, set_fence, was_committed
from backend_demo.storage.write import write
from tests.support.postgres import PostgresServer, migrated

PARTITION = ("processed-data", 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with migrated(tmp_path_factory.mktemp("write")) as found:
        yield found


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

    return await write(connection, LoadPlan(**rows), tables, window=3, on_conflicts=tell), told


@pytest.mark.parametrize("size", [5, COPY_ROWS * 2])
def test_stored_readings_stay_and_conflicts_are_reported(run: Any, size: int) -> None:
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
        await load(connection, Tables(), readings={(1, 3.0): 99.0}, averages=[Averages({}, [(1, 3.0)]), Averages()])
        values = [readings.get((1, float(i)), 99.0) for i in range(10)]
        assert await table(connection, "average") == {(1, float(i)): average(values[i - 2 : i + 1]) for i in (3, 4, 5)}

    run(work)


def test_averages_and_repairs_keep_their_order(run: Any) -> None:
    async def work(connection: Any) -> None:
        steps = [Averages({(1, 1.0): 5.0}, [(1, 1.0)]), Averages({(1, 1.0): 7.0})]
        await load(connection, Tables(), readings={(1, 1.0): 20.0}, averages=steps)
        assert await table(connection, "average") == {(1, 1.0): 7.0}

    run(work)


def test_the_fence_moves_with_the_rows_or_not_at_all(run: Any) -> None:
    async def work(connection: Any) -> None:
        await set_fence(connection, {PARTITION: FenceRow(5)}, {})
        await load(connection, Tables(), readings={(1, 1.0): 20.0}, fence={PARTITION: (5, 8)})
        assert await read_fence(connection, [PARTITION, ("processed-data", 1)]) == {PARTITION: FenceRow(8)}
        with pytest.raises(FenceLost):  # a loader that was thought dead
            await load(connection, Tables(), readings={(1, 2.0): 21.0}, fence={PARTITION: (5, 9)})
        assert await table(connection, "temperature") == {(1, 1.0): 20.0}
        assert await read_fence(connection, [PARTITION]) == {PARTITION: FenceRow(8)}

    run(work)


def test_the_fence_is_set_where_nobody_else_has_changed_it(run: Any) -> None:
    async def work(connection: Any) -> None:
        async def fence() -> FenceRow:
            return (await read_fence(connection, [PARTITION]))[PARTITION]

        await set_fence(connection, {PARTITION: FenceRow(5, "a")}, {})
        await set_fence(connection, {PARTITION: FenceRow(0, "a")}, {})  # of a loader that slept since it found none
        assert await fence() == FenceRow(5, "a")
        await set_fence(
            connection, {PARTITION: FenceRow(9, "a")}, {PARTITION: FenceRow(5, "a")}
        )  # the log begins there
        assert await fence() == FenceRow(9, "a")
        await set_fence(
            connection, {PARTITION: FenceRow(0, "b")}, {PARTITION: FenceRow(9, "a")}
        )  # the topic is another
        assert await fence() == FenceRow(0, "b")
        await set_fence(
            connection, {PARTITION: FenceRow(0, "c")}, {PARTITION: FenceRow(9, "a")}
        )  # of one that slept since
        assert await fence() == FenceRow(0, "b")


def test_the_fence_of_another_topic_does_not_move(run: Any) -> None:
    """The offset is the same by chance."""

    async def work(connection: Any) -> None:
        await set_fence(connection, {PARTITION: FenceRow(5, "new")}, {})
        with pytest.raises(FenceLost):
            await move_fence(connection, {PARTITION: (5, 8)}, {PARTITION[0]: "old"})
        with pytest.raises(FenceLost):
            await was_committed(connection, {PARTITION: (3, 5)}, {PARTITION[0]: "old"})
        await move_fence(connection, {PARTITION: (5, 8)}, {PARTITION[0]: "new"})
        assert await was_committed(connection, {PARTITION: (5, 8)}, {PARTITION[0]: "new"})

    run(work)


def test_conflicts_that_cannot_be_reported_undo_the_transaction(run: Any) -> None:
    async def work(connection: Any) -> None:
        async def fail(conflicts: Mapping[Key, float]) -> None:
            raise ConnectionError

        await load(connection, Tables(), readings={(1, 1.0): 20.0})
        rows = LoadPlan(readings={(1, 1.0): 21.0, (1, 2.0): 22.0})
        with pytest.raises(ConnectionError):
            await write(connection, rows, Tables(), window=3, on_conflicts=fail)
        assert await table(connection, "temperature") == {(1, 1.0): 20.0}

    run(work)


def test_after_a_copy_failed_only_what_is_newer_is_copied(run: Any) -> None:
    """Late rows of an average that changes, and readings that come again, must not make every COPY fail."""

    async def work(connection: Any) -> None:
        tables, stored, averages = Tables(), {}, {}
        for batch in range(6):
            begin = batch * COPY_ROWS * 2
            rows = {(1, float(i)): float(i % 7) for i in range(max(0, begin - 5), begin + COPY_ROWS * 2)}
            changed = {key: value + batch for key, value in rows.items()}
            await load(connection, tables, readings=rows, averages=[Averages(changed)])
            stored.update(rows)
            averages.update(changed)
        assert await table(connection, "temperature") == stored
        assert await table(connection, "average") == averages

    run(work)
