"""The original's routes, /v1/latest and the pages, on a real PostgreSQL."""

import re

import pytest

from tests.support.gateway import ALL_TIME, START, GatewayProcess
from tests.support.postgres import PostgresServer


class TestOriginal:
    """The original's routes: its parameters, its shape, its order."""

    def test_latest_is_a_list_of_one_row_of_strings(self, gateway: GatewayProcess) -> None:
        (row,) = gateway.get("/temperature_latest", sensor_num=1).json()
        assert list(row) == ["id", "timestamp", "sensor_num", "value"]
        assert row == {"id": row["id"], "timestamp": "1700000009.0", "sensor_num": "1", "value": "29.0"}
        assert row["id"].isdigit()

    @pytest.mark.parametrize("sensor", [1, 2, 999], ids=["rows", "one row", "unknown"])
    def test_latest_is_the_same_past_fastapi_and_through_it(self, gateway: GatewayProcess, sensor: int) -> None:
        def counted() -> float:
            return gateway.metric('bdemo_request_seconds_count{route="/temperature_latest",status="200"}')

        before = counted()
        direct = gateway.get(f"/temperature_latest?sensor_num={sensor}")
        through = gateway.get(f"/temperature_latest?sensor%5Fnum={sensor}")
        assert (direct.status_code, direct.json()) == (through.status_code, through.json())
        assert direct.headers["content-type"] == through.headers["content-type"]
        assert counted() == before + 2

    @pytest.mark.parametrize("route", ["/temperature", "/average", "/temperature_latest"])
    def test_an_unknown_sensor_is_an_empty_list(self, gateway: GatewayProcess, route: str) -> None:
        parameters = {} if route.endswith("latest") else ALL_TIME
        response = gateway.get(route, sensor_num=2**63 - 1, **parameters)
        assert (response.status_code, response.json()) == (200, [])

    @pytest.mark.parametrize(("route", "first"), [("/temperature", "25.0"), ("/average", "25.25")])
    def test_a_range_includes_both_ends_newest_first(self, gateway: GatewayProcess, route: str, first: str) -> None:
        rows = gateway.get(route, sensor_num=1, timestamp_start=START + 2, timestamp_end=START + 5).json()
        assert [float(row["timestamp"]) - START for row in rows] == [5, 4, 3, 2]
        assert rows[0]["value"] == first
        assert all(isinstance(value, str) for row in rows for value in row.values())

    def test_the_latest_is_the_newest_by_time_not_by_id(
        self, database: PostgresServer, gateway: GatewayProcess
    ) -> None:
        """The original's defect: a late reading, with the highest id, was the latest."""
        insert = "insert into temperature (sensor_num, timestamp, value) values (3, $1, $2)"
        database.sql(insert, START + 100, 30.0)
        database.sql(insert, START + 50, 10.0)
        (row,) = gateway.get("/temperature_latest", sensor_num=3).json()
        assert row["value"] == "30.0"
        rows = gateway.get("/temperature", sensor_num=3, **ALL_TIME).json()
        assert [row["value"] for row in rows] == ["30.0", "10.0"]

    def test_the_requests_are_counted_and_the_age_observed(self, gateway: GatewayProcess) -> None:
        names = [
            "sensor_values_requests_total",
            "aggregated_values_requests_total",
            "latest_value_requests_total",
            'latest_value_requests_age_seconds_bucket{le="1.2"}',
            "latest_value_requests_age_seconds_count",
        ]
        before = [gateway.metric(name) for name in names]
        gateway.get("/temperature", sensor_num=1, **ALL_TIME)
        gateway.get("/average", sensor_num=1, **ALL_TIME)
        gateway.get("/temperature_latest", sensor_num=1)
        gateway.get("/temperature_latest", sensor_num=999)
        assert [gateway.metric(name) - was for name, was in zip(names, before, strict=True)] == [1, 1, 2, 0, 1]
        assert gateway.metric('bdemo_service_ready{service="gateway"}') == 1


class TestLatest:
    """/v1/latest."""

    def test_the_newest_reading_of_some_sensors_by_sensor(self, gateway: GatewayProcess) -> None:
        answer = gateway.get("/v1/latest", sensor=[2, 1, 2]).json()
        assert answer == {
            "readings": [
                {"sensor": 1, "timestamp": START + 9, "value": 29.0},
                {"sensor": 2, "timestamp": START, "value": 21.5},
            ],
            "truncated": False,
        }

    def test_all_sensors_come_at_once(self, gateway: GatewayProcess) -> None:
        readings = gateway.get("/v1/latest").json()["readings"]
        assert len(readings) >= 10_003
        assert readings == sorted(readings, key=lambda reading: reading["sensor"])
        assert all(reading["timestamp"] == START + 2 for reading in readings if reading["sensor"] >= 10_000)

    def test_an_unknown_sensor_is_not_found_and_near_ones_are_named(self, gateway: GatewayProcess) -> None:
        response = gateway.get("/v1/latest", sensor=[1, 9999])
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
        answer = response.json()
        assert (answer["code"], answer["sensors"]) == ("unknown_sensor", [9999])
        assert answer["known"] == [10_000, 10_001, 10_002, 10_003, 10_004]


class TestPages:
    """The documentation of the API."""

    def test_openapi_describes_the_original(self, gateway: GatewayProcess) -> None:
        api = gateway.get("/openapi.json").json()
        assert api["info"]["title"] == "REST API"
        assert {"/temperature", "/average", "/temperature_latest", "/v1/latest"} <= set(api["paths"])
        parameters = {found["name"]: found for found in api["paths"]["/temperature"]["get"]["parameters"]}
        assert set(parameters) == {"sensor_num", "timestamp_start", "timestamp_end"}
        assert all(found["required"] for found in parameters.values())
        assert parameters["sensor_num"]["schema"]["maximum"] == 2**63 - 1
        assert set(api["paths"]["/temperature"]["get"]["responses"]) == {"200", "422", "503"}

    @pytest.mark.parametrize("page", ["/docs", "/redoc"])
    def test_a_page_needs_nothing_from_elsewhere(self, gateway: GatewayProcess, page: str) -> None:
        response = gateway.get(page)
        assert "default-src 'self'" in response.headers["content-security-policy"]
        parts = re.findall(r'(?:src|href)="([^"]+)"', response.text)
        assert parts
        for part in parts:
            assert part.startswith("/docs/assets/")
            assert gateway.get(part).status_code == 200
