"""Ranges in every form: the same rows, in bounded memory, at the client's pace; samples, and what may be cached."""

from __future__ import annotations

import asyncio
import gzip
import io
import itertools
import json
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import httpx
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from starlette.types import Message

from backend_demo.gateway import streaming
from backend_demo.gateway.formats import Lines, form
from backend_demo.gateway.sampling import sampled
from backend_demo.storage import ranges
from backend_demo.storage.pool import Database
from backend_demo.storage.selection import Selection
from tests.integration.gateway import GatewayProcess, serving, until
from tests.integration.postgres import PostgresServer, migrated

Row = tuple[int, float, float]

START = 1_700_000_000.0
#: A time that is past, behind all rows.
OVER = START + 1e6

#: A million rows, 0.01 s apart.
BIG, BIG_ROWS = 1, 1_000_000

#: Values that are written in many ways.
VALUES = [21.0, -0.0, 0.1 + 0.2, 1e20, 1e15, 1e16, 1234567890123456.0, -123456789012345.0, 1e-7, 5e-324, 1.7e308, 22.5]

TIMES = [float(i) for i in range(2, 9)]

#: Sensor 2 has times before and after 1970, 3 has one row, 4 more than two blocks of any kind.
FEW: list[Row] = sorted(
    [
        *(
            (2, time, value)
            for time, value in zip([-1e9, 0.0, 1e-6, 1.5, START, *map(float, range(2, 9))], VALUES, strict=True)
        ),
        (3, START + 0.123456, 20.0),
        *((4, START + i / 8, VALUES[i % len(VALUES)]) for i in range(5000)),
        (9_000_000_000_000_000_000, START, 20.25),
    ]
)
SENSORS = sorted({row[0] for row in FEW})

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
CODINGS = {"identity": bytes, "gzip": gzip.decompress, "zstd": zstd.decompress}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with migrated(tmp_path_factory.mktemp("forms")) as server:
        server.sql(
            "insert into temperature (sensor_num, timestamp, value) "
            f"select {BIG}, {START} + i * 0.01, 20 + i % 997 * 0.01 from generate_series(0, {BIG_ROWS - 1}) i"
        )
        for table in ("temperature", "average"):
            server.sql(
                f"insert into {table} (sensor_num, timestamp, value) "
                "select * from unnest($1::bigint[], $2::float8[], $3::float8[])",
                *map(list, zip(*FEW, strict=True)),
            )
        server.sql("vacuum analyze")
        yield server


@pytest.fixture(scope="module")
def gateway(database: PostgresServer) -> Iterator[GatewayProcess]:
    with serving(database.dsn("bdemo_reader")) as process:
        yield process


def raw(
    gateway: GatewayProcess, path: str, headers: dict[str, str] | None = None, **parameters: Any
) -> tuple[httpx.Response, bytes]:
    """An answer, and its body as it came over the wire."""
    given = {"Accept-Encoding": "identity", **(headers or {})}
    with httpx.stream("GET", gateway.url + path, params=parameters, headers=given, timeout=60) as response:
        return response, b"".join(response.iter_raw())


def rows_of(name: str, body: bytes) -> list[Row]:
    if name == "json":
        return [(row["sensor"], row["timestamp"], row["value"]) for row in json.loads(body)["readings"]]
    if name == "ndjson":
        return [tuple(json.loads(line).values()) for line in body.splitlines()]
    if name == "csv":
        head, *lines = body.decode().split("\r\n")[:-1]
        assert head == "sensor,timestamp,value"
        return [(int(a), float(b), float(c)) for a, b, c in (line.split(",") for line in lines)]
    table = table_of(name, body)
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("sensor", "int64"),
        ("timestamp", "double"),
        ("value", "double"),
    ]
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def table_of(name: str, body: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(body)) if name == "parquet" else pa.ipc.open_stream(body).read_all()


def same(found: Sequence[Row], expected: Sequence[Row]) -> bool:
    """By repr(): it tells -0.0 from 0.0, and 21 from 21.0."""
    return list(map(repr, found)) == list(map(repr, expected))


class TestForms:
    """They agree with each other and with the tables, row for row and bit for bit."""

    @pytest.mark.parametrize("coding", CODINGS)
    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_all_rows(self, gateway: GatewayProcess, name: str, coding: str) -> None:
        headers = {"Accept": MEDIA_TYPES[name], "Accept-Encoding": coding}
        for order in ("asc", "desc"):
            wanted = {"sensor": SENSORS, "from": -1e9, "limit": "all", "order": order}
            response, body = raw(gateway, "/v1/readings", headers, **wanted)
            assert response.headers["content-type"].startswith(MEDIA_TYPES[name])
            compressed = coding != "identity" and name not in ("parquet", "arrow")
            assert response.headers.get("content-encoding") == (coding if compressed else None)
            found = rows_of(name, CODINGS[coding](body) if compressed else body)
            assert same(found, FEW if order == "asc" else FEW[::-1])

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_pages_join_to_the_same_rows(self, gateway: GatewayProcess, name: str) -> None:
        found: list[Row] = []
        url = f"{gateway.url}/v1/averages?format={name}&limit=999&from=-1e9"
        while url:
            page = httpx.get(url)
            found += rows_of(name, page.content.replace(b'"averages"', b'"readings"'))
            url = page.links["next"]["url"] if "next" in page.links else ""
        assert same(found, FEW)

    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_the_rest_behind_a_page_is_streamed(self, gateway: GatewayProcess, order: str) -> None:
        wanted = {"from": -1e9, "order": order}
        cursor = gateway.get("/v1/averages", limit=7, **wanted).json()["next"]
        body = gateway.get("/v1/averages", limit="all", format="ndjson", cursor=cursor, **wanted).content
        assert same(rows_of("ndjson", body), (FEW if order == "asc" else FEW[::-1])[7:])

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    @pytest.mark.parametrize("limit", ["all", 5])
    def test_nothing(self, gateway: GatewayProcess, name: str, limit: Any) -> None:
        body = gateway.get("/v1/readings", sensor=77, limit=limit, format=name).content
        assert rows_of(name, body) == []

    def test_the_original_has_the_same_rows_as_strings(self, gateway: GatewayProcess) -> None:
        rows = gateway.get("/temperature", sensor_num=4, timestamp_start=0, timestamp_end=9e9).json()
        ours = [(row["sensor_num"], float(row["timestamp"]), float(row["value"])) for row in rows]
        assert same(ours, [("4", *row[1:]) for row in FEW[::-1] if row[0] == 4])
        written = {row["value"] for row in rows}
        assert {"21.0", "-0.0", "1e+20", "22.5", "-123456789012345.0"} <= written

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_buckets(self, gateway: GatewayProcess, name: str) -> None:
        wanted = {"sensor": 4, "bucket": "1m", "agg": "count,first,max"}
        expected = gateway.get("/v1/readings", **wanted).json()["buckets"]
        assert sum(each["count"] for each in expected) == 5000
        body = gateway.get("/v1/readings", format=name, **wanted).content
        if name == "json":
            found = json.loads(body)["buckets"]
        elif name == "ndjson":
            found = [json.loads(line) for line in body.splitlines()]
        elif name == "csv":
            head, *lines = body.decode().splitlines()
            found = [dict(zip(head.split(","), map(float, line.split(",")), strict=True)) for line in lines]
        else:
            found = table_of(name, body).to_pylist()
        assert found == expected

    def test_a_mean_that_no_number_holds(self, gateway: GatewayProcess) -> None:
        wanted = {"sensor": 4, "bucket": "1d"}
        answer = gateway.get("/v1/readings", **wanted)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "agg")
        assert gateway.get("/v1/readings", agg="max", **wanted).json()["buckets"][0]["max"] == 1.7e308


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
            until(lambda: busy(database) == 1, "the range is being read")
        until(lambda: busy(database) == 0, "the query has ended")

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
                    until(lambda: busy(database) == 1, "the query waits")
                until(lambda: busy(database) == 0, "the query has ended", timeout_s=5)
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

            async def read(connection: Any, output: ranges.Output) -> None:
                await ranges.copy_lines(selection, ("sensor_num", "value"), made.literals, connection, output)

            async with Database(database.dsn("bdemo_reader"), application="a test") as pool:
                response = streaming.RowsResponse(
                    pool, read, lambda: Lines(made), media_type=made.media_type, route="/"
                )
                await response({"type": "http"}, receive, send)
                seen.append(await asyncio.to_thread(until, lambda: busy(database, "a test") == 0, "idle"))
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


class TestSamples:
    """`max_points`: the rows that draw the same line."""

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize("points", [2, 3, 500])
    def test_of_a_million(self, gateway: GatewayProcess, points: int, order: str) -> None:
        process = psutil.Process(gateway.process.pid)
        gateway.get("/v1/readings", sensor=3, max_points=points)
        before = process.memory_info().rss
        answer = gateway.get("/v1/readings", sensor=[BIG, 4], max_points=points, order=order, to=OVER)
        assert process.memory_info().rss - before < 30_000_000
        document = answer.json()
        series = np.array([START + np.arange(BIG_ROWS) * 0.01, 20 + np.arange(BIG_ROWS) % 997 * 0.01])
        expected = [(BIG, *point) for point in zip(*sampled(series, points).tolist(), strict=True)]
        four = np.array([row[1:] for row in FEW if row[0] == 4]).T.copy()
        expected += [(4, *point) for point in zip(*sampled(four, points).tolist(), strict=True)]
        found = [(row["sensor"], row["timestamp"], row["value"]) for row in document["readings"]]
        assert found == (expected if order == "asc" else expected[::-1])
        told = {"method": "lttb", "max_points": points, "points": 2 * points, "of": BIG_ROWS + 5000}
        assert document["sampled"] == told
        assert (document["truncated"], document["next"]) == (False, None)

    @pytest.mark.parametrize("name", MEDIA_TYPES)
    def test_it_says_so_in_every_form(self, gateway: GatewayProcess, name: str) -> None:
        expected = gateway.get("/v1/averages", max_points=100, to=OVER).json()["averages"]
        answer = gateway.get("/v1/averages", max_points=100, to=OVER, format=name)
        assert answer.headers["sampled"] == f"lttb;max_points=100;points={len(expected)};of={len(FEW) - 1}"
        rows = rows_of(name, answer.content.replace(b'"averages"', b'"readings"'))
        assert rows == [tuple(row.values()) for row in expected]
        if name in ("parquet", "arrow"):
            assert table_of(name, answer.content).schema.metadata[b"max_points"] == b"100"

    def test_few_rows_are_all_there(self, gateway: GatewayProcess) -> None:
        document = gateway.get("/v1/readings", sensor=3, max_points=100).json()
        assert document["readings"] == [{"sensor": 3, "timestamp": START + 0.123456, "value": 20.0}]
        assert document["sampled"] == {"method": "lttb", "max_points": 100, "points": 1, "of": 1}
        nothing = gateway.get("/v1/readings", sensor=77, max_points=100).json()
        assert (nothing["readings"], nothing["sampled"]["of"]) == ([], 0)

    @pytest.mark.parametrize(
        "parameters",
        [
            {"max_points": 1},
            {"max_points": 10_001},
            {"max_points": "1e3"},
            {"max_points": "٣"},
            {"max_points": 5, "bucket": "1m"},
            {"max_points": 5, "limit": 10},
            {"max_points": 5, "cursor": "WzEsMl0"},
        ],
    )
    def test_what_is_wrong_is_named(self, gateway: GatewayProcess, parameters: dict[str, Any]) -> None:
        answer = gateway.get("/v1/readings", **parameters)
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["max_points"]


KINDS: list[dict[str, Any]] = [
    {"limit": "all"},
    {"limit": 2},
    {"limit": "all", "format": "parquet"},
    {"format": "csv"},
    {"bucket": "1d", "agg": "count,mean"},
    {"max_points": 2},
]


class TestCaching:
    """A range that is over has an ETag, made of its rows."""

    @pytest.mark.parametrize("route", ["/v1/readings", "/v1/averages"])
    @pytest.mark.parametrize("kind", KINDS, ids=str)
    def test_a_late_row_changes_it(
        self, database: PostgresServer, gateway: GatewayProcess, route: str, kind: dict[str, Any]
    ) -> None:
        table = "temperature" if route == "/v1/readings" else "average"
        number = next(_numbers)
        insert = f"insert into {table} (sensor_num, timestamp, value) values ($1, $2, $3)"
        database.sql(insert, number, START, 20.0)
        wanted = {"sensor": number, "from": START - 100, "to": START + 100, **kind}

        def get(etag: str = "") -> httpx.Response:
            return gateway.get(route, {"If-None-Match": etag} if etag else None, **wanted)

        first = get()
        etag = first.headers["etag"]
        assert (first.status_code, first.headers["cache-control"]) == (200, "private, no-cache")
        assert "Accept" in first.headers["vary"].replace(",", " ").split()
        again = get(etag)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert get('"other", *').status_code == 304
        database.sql(insert, number, START + 200, 20.0)  # not of this range
        assert get(etag).status_code == 304
        database.sql(insert, number, START - 50, 20.0)
        late = get(etag)
        assert late.status_code == 200
        assert late.headers["etag"] != etag
        assert late.content != first.content
        etag = late.headers["etag"]
        database.sql(f"update {table} set value = 21 where sensor_num = $1 and timestamp = $2", number, START - 50)
        assert get(etag).status_code == 200

    def test_each_form_and_each_question_has_its_own(self, gateway: GatewayProcess) -> None:
        etags = [
            gateway.get(route, sensor=4, to=to, order=order, format=name, limit="all").headers["etag"]
            for route, to, order, name in itertools.product(
                ["/v1/readings", "/v1/averages"], [OVER, OVER + 1], ["asc", "desc"], MEDIA_TYPES
            )
        ]
        assert len(set(etags)) == len(etags)

    @pytest.mark.parametrize("kind", KINDS, ids=str)
    def test_a_range_that_goes_on_is_not_stored(self, gateway: GatewayProcess, kind: dict[str, Any]) -> None:
        for end in ({}, {"to": time.time() + 3600}):
            answer = gateway.get("/v1/readings", {"If-None-Match": "*"}, sensor=3, **end, **kind)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
            assert "etag" not in answer.headers


_numbers = itertools.count(1000)


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
