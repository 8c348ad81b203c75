"""Readings for tests of ranges, and what every form of an answer makes of them."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from backports import zstd

from tests.support.postgres import PostgresServer, migrated

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


@contextmanager
def filled(folder: Path) -> Iterator[PostgresServer]:
    """A server that holds the BIG readings, and the FEW as readings and as averages."""
    with migrated(folder) as server:
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


def rows_of(name: str, body: bytes) -> list[Row]:
    """The rows of an answer in the form of that name."""
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
