"""Ranges of many rows: bounded memory, room for others, no half answer that looks whole."""

import http.client
import json

import httpx
import psutil
import pytest

from tests.support.gateway import ALL_TIME, BIG, GatewayProcess, stalled_client
from tests.support.postgres import PostgresServer
from tests.support.wait import eventually


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
            eventually(lambda: database.sql(busy)[0][0] >= 1, "the range is being read")
        eventually(lambda: database.sql(busy)[0][0] == 0, "the query has ended", limit_s=5)

    def test_slow_clients_leave_room_for_quick_ones(self, gateway: GatewayProcess) -> None:
        stalled = [stalled_client(gateway) for _ in range(7)]
        try:
            assert gateway.get("/temperature_latest", sensor_num=1).status_code == 200
            response = gateway.get("/temperature", sensor_num=1, **ALL_TIME)
            assert response.status_code == 503
            assert "ranges" in response.json()["detail"]
        finally:
            for connection in stalled:
                connection.close()
        eventually(lambda: gateway.get("/temperature", sensor_num=1, **ALL_TIME).status_code == 200, "room again")

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
