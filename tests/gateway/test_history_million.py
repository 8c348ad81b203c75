"""A range of a million rows: bounded memory, and queries that end when their client leaves or they take too long."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import httpx
import psutil
import pyarrow.parquet as pq
import pytest
from backports import zstd
from starlette.types import Message

from backend_demo.gateway.rows import response as streaming
from backend_demo.gateway.rows.formats import LineEncoder, form
from backend_demo.storage import ranges
from backend_demo.storage.pool import Database
from backend_demo.storage.selection import Selection
from tests.support.gateway import GatewayProcess
from tests.support.history import BIG, BIG_ROWS, MEDIA_TYPES, OVER, START, filled, table_of
from tests.support.postgres import PostgresServer
from tests.support.wait import eventually


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with filled(tmp_path_factory.mktemp("forms")) as server:
        yield server


class TestMillion:
    """A million rows: whole, in the memory of a few thousand, until the client leaves."""

    @pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
    @pytest.mark.parametrize("name", ["json", "csv", "ndjson"])
    def test_text_takes_no_memory(self, gateway: GatewayProcess, name: str, coding: str) -> None:
        process = psutil.Process(gateway.process.pid)
        before = process.memory_info().rss
        highest, lines, last = 0, 0, b""
        parameters = {"sensor": BIG, "limit": "all", "format": name}
        unpacker: Any = {"gzip": httpx_gzip, "zstd": zstd.ZstdDecompressor}.get(coding, Plain)()
        with httpx.stream(
            "GET", f"{gateway.url}/v1/readings", params=parameters, headers={"Accept-Encoding": coding}, timeout=60
        ) as response:
            for piece in response.iter_raw(1 << 20):
                highest = max(highest, process.memory_info().rss)
                text = unpacker.decompress(piece)
                lines += text.count(b"}" if name != "csv" else b"\n")
                last = text or last
        assert lines == BIG_ROWS + (name != "ndjson")  # the document itself; the line of names
        assert last.endswith({"json": b'"next":null}', "csv": b"\r\n", "ndjson": b"}\n"}[name])
        assert highest - before < 25_000_000

    @pytest.mark.parametrize("name", ["parquet", "arrow"])
    def test_columns_take_little(self, gateway: GatewayProcess, name: str) -> None:
        gateway.get("/v1/readings", sensor=3, format=name)  # the libraries are loaded
        process = psutil.Process(gateway.process.pid)
        before = process.memory_info().rss
        highest, content = 0, bytearray()
        with httpx.stream("GET", f"{gateway.url}/v1/readings?sensor={BIG}&format={name}", timeout=60) as response:
            for piece in response.iter_raw():
                highest = max(highest, process.memory_info().rss)
                content += piece
        table = table_of(name, bytes(content))
        assert table.num_rows == BIG_ROWS
        assert table["timestamp"].to_numpy().tolist() == [START + i * 0.01 for i in range(BIG_ROWS)]
        assert highest - before < 80_000_000
        if name == "parquet":
            assert pq.ParquetFile(io.BytesIO(content)).num_row_groups > 10

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_a_client_that_leaves_ends_the_query(
        self, database: PostgresServer, gateway: GatewayProcess, name: str
    ) -> None:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(20)
            client.connect(("127.0.0.1", gateway.port))
            path = f"/v1/readings?limit=all&format={name}"
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: zstd\r\n\r\n".encode())
            assert client.recv(15) == b"HTTP/1.1 200 OK"
            eventually(lambda: busy(database) == 1, "the range is being read")
        eventually(lambda: busy(database) == 0, "the query has ended")

    @pytest.mark.parametrize("wanted", ["max_points=500", "bucket=1s&tz=Europe/Berlin"])
    def test_a_client_that_leaves_before_its_answer_ends_the_query(
        self, database: PostgresServer, gateway: GatewayProcess, wanted: str
    ) -> None:
        async def locked() -> None:
            """The table is locked, so that the query does not end by itself."""
            connection = await asyncpg.connect(database.dsn("postgres"))
            async with connection.transaction():
                await connection.execute("lock table temperature in access exclusive mode")
                with socket.create_connection(("127.0.0.1", gateway.port)) as client:
                    client.sendall(f"GET /v1/readings?{wanted} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                    eventually(lambda: busy(database) == 1, "the query waits")
                eventually(lambda: busy(database) == 0, "the query has ended", limit_s=5)
            await connection.close()

        run_in_thread(locked())

    def test_a_stalled_client_gives_its_connection_back(
        self, database: PostgresServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streaming, "SEND_TIMEOUT_S", 0.2)
        seen: list[int] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                seen.append(busy(database, "a test"))
                await asyncio.Event().wait()

        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        async def answer() -> None:
            made = form("json", "readings", ("sensor", "value"))
            selection = Selection("temperature", (BIG,), 0.0, 9e9)

            async def read(connection: Any, output: ranges.CopyOutput) -> None:
                await ranges.copy_lines(selection, ("sensor_num", "value"), made.literals, connection, output)

            async with Database(database.dsn("bdemo_reader"), application="a test") as pool:
                response = streaming.RowsResponse(
                    pool, read, lambda: LineEncoder(made), media_type=made.media_type, route="/"
                )
                await response({"type": "http"}, receive, send)
                seen.append(await asyncio.to_thread(eventually, lambda: busy(database, "a test") == 0, "idle"))
                assert await pool.read(lambda connection: connection.fetchval("select 1")) == 1

        run_in_thread(answer())
        assert seen == [1, True]


class Plain:
    """What is not compressed."""

    def decompress(self, data: bytes) -> bytes:
        return data


def httpx_gzip() -> Any:
    import zlib

    return zlib.decompressobj(wbits=31)


def run_in_thread(work: Any) -> None:
    """`busy` runs an event loop of its own."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def busy(database: PostgresServer, application: str = "bdemo gateway") -> int:
    """Queries that run, but for those that only look whether the tables are there."""
    query = (
        "select count(*) from pg_stat_activity "
        "where application_name = $1 and state <> 'idle' and query not like '%limit 0'"
    )
    with ThreadPoolExecutor(1) as thread:
        return int(thread.submit(database.sql, query, application).result()[0][0])


KINDS: list[dict[str, Any]] = [
    {"limit": "all"},
    {"limit": 2},
    {"limit": "all", "format": "parquet"},
    {"format": "csv"},
    {"bucket": "1d", "agg": "count,mean"},
    {"max_points": 2},
]


def test_what_takes_too_long_is_504_and_says_what_to_do(database: PostgresServer, gateway: GatewayProcess) -> None:
    """The table is locked, so that no query of it comes to an end."""

    async def locked() -> list[httpx.Response]:
        connection = await asyncpg.connect(database.dsn("postgres"))
        async with connection.transaction(), httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
            await connection.execute("lock table average in access exclusive mode")
            every: list[dict[str, Any]] = [*KINDS, {"limit": "all", "to": OVER}]
            found = await asyncio.gather(*(client.get("/v1/averages", params=kind) for kind in every[:5]))
        await connection.close()
        return found

    with ThreadPoolExecutor(1) as thread:
        answers = thread.submit(asyncio.run, locked()).result()
    for answer in answers:
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (504, "query_too_long")
        assert "shorter range" in problem["detail"]
    assert gateway.get("/v1/averages").status_code == 200
