"""The gateway as a process, on a real PostgreSQL, through HTTP and through `bdemo query`."""

import csv
import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.integration.gateway import GatewayProcess, serving, until
from tests.integration.postgres import PostgresServer, migrated

START = 1_700_000_000.0
BIG = 200_000
ALL_TIME = {"timestamp_start": 0, "timestamp_end": 9e9}


def stalled_client(gateway: GatewayProcess) -> socket.socket:
    """A client that has asked for the big range and reads only its begin; its buffer does not hold the rest."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20)
    client.connect(("127.0.0.1", gateway.port))
    path = b"/temperature?sensor_num=50&timestamp_start=0&timestamp_end=9e9"
    client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
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


class TestBigRange:
    """A range is streamed."""

    def test_it_takes_the_memory_of_a_block(self, gateway: GatewayProcess) -> None:
        process = psutil.Process(gateway.process.pid)
        gateway.get("/temperature", sensor_num=1, **ALL_TIME)
        before, highest, size, last = process.memory_info().rss, 0, 0, b""
        wanted = {"params": {"sensor_num": 50, **ALL_TIME}, "headers": {"Accept-Encoding": "identity"}}
        with httpx.stream("GET", f"{gateway.url}/temperature", **wanted) as response:
            content = bytearray()
            for piece in response.iter_raw():
                highest = max(highest, process.memory_info().rss)
                size += len(piece)
                content += piece
                last = piece
        rows = json.loads(content)
        times = [float(row["timestamp"]) for row in rows]
        assert len(rows) == BIG
        assert times == sorted(set(times), reverse=True)
        assert size > 14_000_000
        assert last.endswith(b"]")
        assert highest - before < 8_000_000

    def test_a_client_that_leaves_ends_the_query(self, database: PostgresServer, gateway: GatewayProcess) -> None:
        busy = """
            select count(*) from pg_stat_activity where application_name = 'bdemo gateway' and state <> 'idle'
        """
        with stalled_client(gateway) as client:
            assert client.recv(15) == b"HTTP/1.1 200 OK"
            until(lambda: database.sql(busy)[0][0] >= 1, "the range is being read")
        until(lambda: database.sql(busy)[0][0] == 0, "the query has ended", timeout_s=5)

    def test_slow_clients_leave_room_for_quick_ones(self, gateway: GatewayProcess) -> None:
        stalled = [stalled_client(gateway) for _ in range(7)]
        try:
            time.sleep(0.5)
            assert gateway.get("/temperature_latest", sensor_num=1).status_code == 200
            response = gateway.get("/temperature", sensor_num=1, **ALL_TIME)
            assert response.status_code == 503
            assert "ranges" in response.json()["detail"]
        finally:
            for connection in stalled:
                connection.close()
        until(lambda: gateway.get("/temperature", sensor_num=1, **ALL_TIME).status_code == 200, "room again")

    def test_an_answer_that_breaks_off_does_not_look_whole(
        self, database: PostgresServer, gateway: GatewayProcess
    ) -> None:
        kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bdemo gateway'"
        with stalled_client(gateway) as client:
            answer = http.client.HTTPResponse(client)
            answer.begin()
            database.sql(kill)
            with pytest.raises(http.client.IncompleteRead):
                answer.read()
        assert gateway.get("/temperature_latest", sensor_num=1).status_code == 200


class TestOutage:
    """PostgreSQL goes away and comes back; the gateway is the same process."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_503_while_away_and_200_again_afterwards(
        self, database: PostgresServer, gateway: GatewayProcess, number: signal.Signals
    ) -> None:
        stop = threading.Event()
        seen: list[int] = []

        def ask() -> None:
            with httpx.Client(base_url=gateway.url, timeout=30) as client:
                while not stop.is_set():
                    seen.append(client.get("/temperature_latest", params={"sensor_num": 1}).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            time.sleep(0.3)
            database.end(number)
            response = gateway.get("/temperature", sensor_num=1, **ALL_TIME)
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
            assert response.json()["code"] == "database_unavailable"
            assert gateway.get("/v1/latest").status_code == 503
            assert gateway.alive()
            first, second = (until(lambda: _missing(gateway), "not ready") for _ in range(2))
            assert first["name"] == "postgres"
            assert first["reason"]
            assert first["since"] == second["since"]
            until(lambda: gateway.metric('bdemo_service_ready{service="gateway"}') == 0, "the metric")
        finally:
            database.start()
            back = until(lambda: gateway.get("/temperature_latest", sensor_num=1).status_code == 200, "back", 10)
            stop.set()
            asking.join(30)
        assert back
        assert set(seen) == {200, 503}
        assert seen[-1] == 200
        until(gateway.ready, "ready again")
        until(lambda: gateway.metric('bdemo_service_ready{service="gateway"}') == 1, "the metric")

    def test_nobody_notices_that_connections_are_ended(self, database: PostgresServer, gateway: GatewayProcess) -> None:
        kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bdemo gateway'"
        for path, parameters in [
            ("/temperature_latest", {"sensor_num": 1}),
            ("/temperature", {"sensor_num": 1, **ALL_TIME}),
            ("/v1/latest", {"sensor": 1}),
        ]:
            for _ in range(5):
                database.sql(kill)
                assert gateway.get(path, **parameters).status_code == 200

    def test_it_starts_first_and_says_what_it_waits_for(self, tmp_path: Path) -> None:
        server = PostgresServer(tmp_path)
        gateway = GatewayProcess(server.dsn("bdemo_reader"))
        try:
            until(gateway.alive, "alive")
            assert "refuses connections" in _missing(gateway)["reason"]
            server.start()
            server.provision()
            until(lambda: _missing(gateway)["reason"] == "the tables are missing", "the tables are missing")
            assert gateway.get("/temperature_latest", sensor_num=1).status_code == 503
            server.migrate()
            until(gateway.ready, "ready")
            assert gateway.get("/temperature_latest", sensor_num=1).json() == []
            assert gateway.get("/v1/latest").json()["readings"] == []
        finally:
            gateway.end()
            server.end()


def _missing(gateway: GatewayProcess) -> dict[str, str]:
    answer = gateway.get("/readyz").json()
    return dict(answer["missing"][0]) if answer["missing"] else {}


class TestProcess:
    """How it starts and ends."""

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_it_ends_in_time_with_open_connections(
        self, database: PostgresServer, number: signal.Signals, code: int
    ) -> None:
        gateway = GatewayProcess(database.dsn("bdemo_reader"))
        until(gateway.ready, "ready")
        stalled = [stalled_client(gateway) for _ in range(2)]
        time.sleep(0.3)
        gateway.process.send_signal(number)
        assert gateway.process.wait(10) == code
        assert "Traceback" not in gateway.end()
        for connection in stalled:
            connection.close()

    def test_a_taken_port_is_one_line(self, database: PostgresServer, gateway: GatewayProcess) -> None:
        second = GatewayProcess(database.dsn("bdemo_reader"), port=gateway.port)
        assert second.process.wait(20) == 6
        (line,) = second.end().splitlines()
        assert json.loads(line)["error"].startswith(f"port {gateway.port} of gateway is taken")

    def test_wrong_credentials_are_told_soon(self, database: PostgresServer) -> None:
        dsn = f"postgresql://bdemo_reader:wrong@127.0.0.1:{database.port}/temperature"
        gateway = GatewayProcess(dsn)
        assert gateway.process.wait(20) == 5
        told = gateway.end()
        last = json.loads(told.splitlines()[-1])
        assert (last["level"], last["event"]) == ("error", "failed")
        assert "refuses these credentials" in last["error"]
        assert "wrong" not in told.replace("wrong host", "")
        assert "Traceback" not in told


def query(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "backend_demo", "query", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class TestCommand:
    """`bdemo query`."""

    def test_latest_as_json_has_numbers(self, gateway: GatewayProcess) -> None:
        answer = json.loads(query("latest", "--sensor", "1", "-s", "2", "-o", "json", "--url", gateway.url).stdout)
        assert answer["schema"] == "bdemo.query/1"
        assert [(row["sensor"], row["timestamp"], row["value"]) for row in answer["rows"]] == [
            (1, START + 9, 29.0),
            (2, START, 21.5),
        ]
        assert answer["rows"][1]["time"] == "2023-11-14T22:13:20.000000Z"
        assert answer["truncated"] is False

    def test_latest_of_all_as_a_table_says_that_it_is_cut(self, gateway: GatewayProcess) -> None:
        done = query("latest", "--url", gateway.url)
        assert re.search(r"^ +1 +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.000 .* 29\.00 *$", done.stdout, re.MULTILINE)
        assert re.search(r"the first 20 of 10,\d{3}", done.stderr)

    def test_a_whole_range_of_two_sensors_comes_sensor_by_sensor(self, gateway: GatewayProcess) -> None:
        words = ("range", "-s", "1", "-s", "2", "--from", "1700000000", "--to", "1700000001", "-o", "json")
        answer = json.loads(query(*words, "--url", gateway.url).stdout)
        assert [(row["sensor"], row["value"]) for row in answer["rows"]] == [(2, 21.5), (1, 21.0), (1, 20.0)]
        assert (answer["from"], answer["to"]) == (1_700_000_000.0, 1_700_000_001.0)

    def test_a_big_range_as_csv_is_all_there(self, gateway: GatewayProcess) -> None:
        done = query("range", "-s", "50", "--from", "0", "-o", "csv", "--url", gateway.url)
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert len(rows) == BIG
        assert float(rows[0]["timestamp"]) == START + (BIG - 1) * 0.01
        assert done.stderr == ""

    def test_averages(self, gateway: GatewayProcess) -> None:
        done = query("average", "-s", "1", "--from", "0", "--limit", "3", "-o", "json", "--url", gateway.url)
        answer = json.loads(done.stdout)
        assert [row["value"] for row in answer["rows"]] == [29.25, 28.25, 27.25]
        assert answer["truncated"] is True
        assert "the newest 3, and there are more" in done.stderr

    def test_a_chart_is_drawn(self, gateway: GatewayProcess) -> None:
        lines = query("range", "-s", "1", "--from", "0", "--chart", "--url", gateway.url).stdout.splitlines()
        assert lines[0].startswith("Readings of sensor 1")
        assert lines[1].lstrip().startswith("┌")
        assert all(len(line) <= 80 for line in lines)

    def test_watching_without_a_terminal_gives_a_line_for_each_new_reading(
        self, database: PostgresServer, gateway: GatewayProcess
    ) -> None:
        insert = "insert into temperature (sensor_num, timestamp, value) values (4, $1, $2)"
        database.sql(insert, START, 1.0)
        words = ["query", "latest", "-s", "4", "--watch", "--every", "200ms", "-o", "csv", "--url", gateway.url]
        watching = subprocess.Popen(
            [sys.executable, "-m", "backend_demo", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("sensor,")
        assert watching.stdout.readline().endswith(",1.0\n")
        database.sql(insert, START + 1, 2.0)
        assert watching.stdout.readline().endswith(",2.0\n")
        watching.send_signal(signal.SIGINT)
        rest, told = watching.communicate(timeout=10)
        assert (rest, told.strip(), watching.returncode) == ("", "", 130)

    def test_an_unknown_sensor(self, gateway: GatewayProcess) -> None:
        told = query("latest", "--sensor", "9999", "--url", gateway.url, code=9).stderr
        assert told.splitlines()[0] == "error: unknown sensor '9999'"
        assert "10000, 10001" in told.splitlines()[1]

    def test_nothing_in_the_range_is_said(self, gateway: GatewayProcess) -> None:
        done = query("range", "-s", "1", "--url", gateway.url)
        assert done.stdout == ""
        assert "nothing of sensor 1" in done.stderr

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (("latest", "--url", "http://127.0.0.1:1"), 5),
            (("latest", "--url", "nonsense"), 2),
            (("latest", "--sensor", "-1"), 2),
            (("range", "--agg", "mean"), 2),
            (("range", "-s", "1", "--since", "5x"), 2),
            (("range", "-s", "1", "--since", "5m", "--from", "0"), 2),
            (("range", "-s", "1", "--from", "1700000001", "--to", "1700000000"), 2),
            (("range", "-s", "1", "--chart", "-o", "csv"), 2),
            (("latest", "--watch", "--every", "0"), 2),
        ],
    )
    def test_what_cannot_work_is_an_error_and_a_hint(
        self, gateway: GatewayProcess, words: tuple[str, ...], code: int
    ) -> None:
        where = () if "--url" in words else ("--url", gateway.url)
        done = query(*words, *where, code=code)
        assert done.stdout == ""
        error, hint = done.stderr.strip().splitlines()
        assert error.startswith("error: ")
        assert hint.startswith("hint: ")

    def test_without_a_stack(self, tmp_path: Path) -> None:
        told = query("latest", "--state-dir", str(tmp_path), code=7).stderr
        assert "hint: start it with: bdemo up" in told

    def test_what_is_no_gateway(self, gateway: GatewayProcess) -> None:
        told = query("latest", "--url", f"http://127.0.0.1:{gateway.stats_port}", code=5).stderr
        assert "no gateway of bdemo" in told
