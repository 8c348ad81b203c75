"""A sensor's name instead of its number, and where names are shown."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from backend_demo.domain.names import number_of
from backend_demo.domain.sensor_name import SensorName
from backend_demo.storage.sensor_names import insert_names
from tests.support.gateway import START, GatewayProcess, serving
from tests.support.postgres import PostgresServer, migrated

NAMES = ("kitchen", "Küche 2", "a" * 128)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One reading of each of NAMES, and of sensor 7."""
    with migrated(tmp_path_factory.mktemp("names")) as server:

        async def fill() -> None:
            connection = await asyncpg.connect(server.dsn("bdemo"))
            await insert_names(connection, [(SensorName(number_of(name), name), START) for name in NAMES])
            await connection.close()

        asyncio.run(fill())
        for number in (7, *map(number_of, NAMES)):
            server.sql("insert into temperature (sensor_num, timestamp, value) values ($1, $2, 20)", number, START)
        yield server


@pytest.fixture(scope="module")
def gateway(database: PostgresServer) -> Iterator[GatewayProcess]:
    with serving(database.dsn("bdemo_reader")) as process:
        yield process


def test_the_names(gateway: GatewayProcess) -> None:
    expected = sorted(({"sensor": number_of(name), "name": name} for name in NAMES), key=lambda each: each["sensor"])
    assert gateway.get("/v1/sensor-names").json() == {"names": expected, "next": None}
    page = gateway.get("/v1/sensor-names", limit=2).json()
    assert page == {"names": expected[:2], "next": expected[1]["sensor"]}
    assert gateway.get("/v1/sensor-names", limit=2, after=page["next"]).json() == {"names": expected[2:], "next": None}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stands_for_its_number(gateway: GatewayProcess, name: str) -> None:
    number = number_of(name)
    for path in ("/v1/latest", "/v1/readings"):
        by_name, by_number = gateway.get(path, sensor=name), gateway.get(path, sensor=number)
        assert by_name.json() == by_number.json()
        assert [row["sensor"] for row in by_name.json()["readings"]] == [number]
    assert gateway.get(f"/v1/sensors/{name}").json()["name"] == name
    assert gateway.get(f"/v1/sensors/{number}").json() == gateway.get(f"/v1/sensors/{name}").json()


def test_a_sensor_with_a_number_has_no_name(gateway: GatewayProcess) -> None:
    found = {each["sensor"]: each["name"] for each in gateway.get("/v1/sensors").json()["sensors"]}
    assert found == {7: None, **{number_of(name): name for name in NAMES}}


def test_a_name_without_readings_is_told_as_it_was_given(gateway: GatewayProcess) -> None:
    for answer in (gateway.get("/v1/latest", sensor=["attic", "8", "kitchen"]), gateway.get("/v1/sensors/attic")):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_sensor")
        assert "attic" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["a/b", "a+", "#", "a" * 129, "\x07", "9223372036854775808", "-1", ""])
def test_what_is_neither_is_refused(gateway: GatewayProcess, name: str) -> None:
    assert gateway.get("/v1/latest", sensor=name).status_code == 422
