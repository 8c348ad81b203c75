"""A gateway on a PostgreSQL of its own, for each module that brings no other."""

from collections.abc import Iterator

import pytest

from tests.support.gateway import BIG, START, GatewayProcess, serving
from tests.support.postgres import PostgresServer, migrated


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Of sensor 1 ten rows, of 2 one, of 50 BIG rows, of 10000 to 19999 three each; averages of sensor 1 only."""
    with migrated(tmp_path_factory.mktemp("gateway")) as server:
        server.sql(
            f"""
            insert into temperature (sensor_num, timestamp, value)
            select 1, {START} + i, 20 + i from generate_series(0, 9) i
            union all select 2, {START}, 21.5
            union all select 50, {START} + i * 0.01, 20 + i % 10 from generate_series(0, {BIG - 1}) i
            union all select 10000 + s, {START} + i, 20 from generate_series(0, 9999) s, generate_series(0, 2) i
            """
        )
        server.sql(
            f"""
            insert into average (sensor_num, timestamp, value)
            select 1, {START} + i, 20.25 + i from generate_series(0, 9) i
            """
        )
        yield server


@pytest.fixture(scope="module")
def gateway(database: PostgresServer) -> Iterator[GatewayProcess]:
    with serving(database.dsn("bdemo_reader")) as process:
        yield process
