"""The names of sensors on a real PostgreSQL."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import asyncpg
import pytest

from backend_demo.domain.names import number_of
from backend_demo.domain.sensor_name import SensorName
from backend_demo.storage import pages
from backend_demo.storage.sensor_names import insert_names, names_page
from tests.support.postgres import PostgresServer, migrated

KITCHEN, HALL, CELLAR = (SensorName(number_of(name), name) for name in ("kitchen", "hall", "Keller 1"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with migrated(tmp_path_factory.mktemp("names")) as found:
        yield found


def test_a_name_is_stored_once_with_its_first_time(server: PostgresServer) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(server.dsn("bdemo"))
        try:
            assert await insert_names(connection, [(KITCHEN, 1_700_000_000.25), (HALL, 1.0), (KITCHEN, 5.0)]) == []
            # as another process sends them, after a restart
            assert await insert_names(connection, [(CELLAR, 2.0), (KITCHEN, 1_700_000_001.0)]) == []
            rows = await connection.fetch("select sensor_num, name, first_seen from sensor where name = 'kitchen'")
            first_seen = datetime.fromtimestamp(1_700_000_000.25, UTC)
            assert [tuple(row) for row in rows] == [(KITCHEN.sensor, "kitchen", first_seen)]
            every = sorted((KITCHEN, HALL, CELLAR), key=lambda name: name.sensor)
            assert await names_page(connection, -1, 2) == (every[:2], True)
            assert await names_page(connection, every[1].sensor, 2) == (every[2:], False)
            # one number, two names: the first stays
            other = SensorName(KITCHEN.sensor, "kitchenette")
            assert await insert_names(connection, [(other, 3.0), (HALL, 3.0)]) == [(other, "kitchen")]
            assert (await names_page(connection, -1, 10))[0] == every
        finally:
            await connection.close()

    asyncio.run(main())


def test_a_summary_has_the_name(server: PostgresServer) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(server.dsn("bdemo"))
        try:
            await insert_names(connection, [(KITCHEN, 1.0)])
            await connection.execute(
                "insert into temperature (sensor_num, timestamp, value) values ($1, 1, 20), (7, 1, 20)", KITCHEN.sensor
            )
        finally:
            await connection.close()
        reader = await asyncpg.connect(server.dsn("bdemo_reader"))
        try:
            found = await pages.summaries(reader, [7, KITCHEN.sensor])
            assert [(summary.sensor, summary.name) for summary in found] == [(7, None), (KITCHEN.sensor, "kitchen")]
        finally:
            await reader.close()

    asyncio.run(main())
