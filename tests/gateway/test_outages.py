"""The gateway as a process: PostgreSQL goes away, signals come, ports and passwords are wrong."""

import json
import signal
import threading
from pathlib import Path

import httpx
import pytest

from tests.support.gateway import ALL_TIME, GatewayProcess, stalled_client
from tests.support.postgres import PostgresServer
from tests.support.wait import eventually


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
            eventually(lambda: seen, "the first answer")
            database.end(number)
            response = gateway.get("/temperature", sensor_num=1, **ALL_TIME)
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
            assert response.json()["code"] == "database_unavailable"
            assert gateway.get("/v1/latest").status_code == 503
            assert gateway.alive()
            first, second = (eventually(lambda: _missing(gateway), "not ready") for _ in range(2))
            assert first["name"] == "postgres"
            assert first["reason"]
            assert first["since"] == second["since"]
            eventually(lambda: gateway.metric('bdemo_service_ready{service="gateway"}') == 0, "the metric")
        finally:
            database.start()
            back = eventually(lambda: gateway.get("/temperature_latest", sensor_num=1).status_code == 200, "back", 10)
            stop.set()
            asking.join(30)
        assert back
        assert set(seen) == {200, 503}
        assert seen[-1] == 200
        eventually(gateway.ready, "ready again")
        eventually(lambda: gateway.metric('bdemo_service_ready{service="gateway"}') == 1, "the metric")

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
            eventually(gateway.alive, "alive")
            assert "refuses connections" in _missing(gateway)["reason"]
            server.start()
            server.provision()
            eventually(lambda: _missing(gateway)["reason"] == "the tables are missing", "the tables are missing")
            assert gateway.get("/temperature_latest", sensor_num=1).status_code == 503
            server.migrate()
            eventually(gateway.ready, "ready")
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
        eventually(gateway.ready, "ready")
        stalled = [stalled_client(gateway) for _ in range(2)]
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
