"""What a client sends wrong is refused with a problem that names it."""

import socket

import httpx
import pytest

from tests.support.gateway import GatewayProcess

BAD_SENSORS = [
    "",
    "abc",
    "1.5",
    "-1",
    str(2**63),
    "1e3",
    "٣",
    "²",
    "1;drop table",
    "1\0",
    "0x1",
    "1_0",
    " 1",
    "9" * 5000,
]


#: What is neither a number nor a name.
NO_SENSORS = ["", "-1", str(2**63), "٣", "1\0", " 1", "9" * 5000, "a/b", "+", "x#", "a" * 129]

BAD_TIMES = ["", "NaN", "nan", "inf", "-inf", "Infinity", "1e400", "2026-11-24T10:00:00Z", "now", "1_0", "٣"]


class TestBadInput:
    """Whatever is wrong is told with its field, as a problem document."""

    def refused(self, response: httpx.Response, *fields: str) -> None:
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"
        answer = response.json()
        assert (answer["status"], answer["code"]) == (422, "invalid_parameters")
        assert [error["field"] for error in answer["errors"]] == list(fields)
        assert all(error["reason"] for error in answer["errors"])
        assert answer["detail"].startswith(fields[0])

    @pytest.mark.parametrize("given", BAD_SENSORS)
    def test_a_sensor_that_is_none(self, gateway: GatewayProcess, given: str) -> None:
        self.refused(gateway.get("/temperature_latest", sensor_num=given), "sensor_num")

    @pytest.mark.parametrize("given", NO_SENSORS)
    def test_a_sensor_that_is_neither_number_nor_name(self, gateway: GatewayProcess, given: str) -> None:
        self.refused(gateway.get("/v1/latest", sensor=["1", given]), "sensor.1")

    @pytest.mark.parametrize("given", BAD_TIMES)
    @pytest.mark.parametrize("route", ["/temperature", "/average"])
    def test_a_time_that_is_none(self, gateway: GatewayProcess, route: str, given: str) -> None:
        self.refused(gateway.get(route, sensor_num=1, timestamp_start=given, timestamp_end=1), "timestamp_start")
        self.refused(gateway.get(route, sensor_num=1, timestamp_start=1, timestamp_end=given), "timestamp_end")

    @pytest.mark.parametrize(("start", "end"), [(-1, 1), (5, 5), (-1e300, 1e300), (1.7e12, 1.7e12)])
    def test_unusual_times_that_are_times(self, gateway: GatewayProcess, start: float, end: float) -> None:
        response = gateway.get("/temperature", sensor_num=1, timestamp_start=start, timestamp_end=end)
        assert response.status_code == 200

    def test_a_range_that_ends_before_it_begins(self, gateway: GatewayProcess) -> None:
        response = gateway.get("/temperature", sensor_num=1, timestamp_start=2, timestamp_end=1)
        self.refused(response, "timestamp_end")

    def test_a_missing_parameter(self, gateway: GatewayProcess) -> None:
        self.refused(gateway.get("/temperature", sensor_num=1), "timestamp_start", "timestamp_end")

    def test_a_repeated_parameter(self, gateway: GatewayProcess) -> None:
        self.refused(gateway.get("/temperature_latest?sensor_num=1&sensor_num=1"), "sensor_num")

    @pytest.mark.parametrize("route", ["/temperature_latest?sensor_num=1", "/v1/latest?sensor=1"])
    def test_an_unknown_parameter(self, gateway: GatewayProcess, route: str) -> None:
        self.refused(gateway.get(f"{route}&limit=5"), "limit")

    def test_too_many_sensors(self, gateway: GatewayProcess) -> None:
        self.refused(gateway.get("/v1/latest", sensor=list(range(1001))), "sensor")

    @pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("POST", "/temperature", 405)])
    def test_other_errors_are_problems_too(self, gateway: GatewayProcess, method: str, path: str, status: int) -> None:
        response = httpx.request(method, gateway.url + path)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == status

    @pytest.mark.parametrize("length", [60_000, 10_000_000])
    def test_a_long_url_is_refused_and_the_gateway_lives(self, gateway: GatewayProcess, length: int) -> None:
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
            connection.sendall(b"GET /temperature_latest?sensor_num=" + b"1" * length)
            connection.sendall(b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 414")
        assert gateway.ready()

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "[::2]"])
    def test_a_foreign_host_name_is_refused(self, gateway: GatewayProcess, host: str) -> None:
        response = gateway.get("/temperature_latest", headers={"Host": host}, sensor_num=1)
        assert (response.status_code, response.json()["code"]) == (400, "foreign_host")

    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8007", "127.0.0.1", "[::1]:8007"])
    def test_our_own_names_are_taken(self, gateway: GatewayProcess, host: str) -> None:
        assert gateway.get("/healthz", headers={"Host": host}).status_code == 200
