"""Parquet and Arrow from a binary COPY that arrives in arbitrary pieces."""

from __future__ import annotations

import asyncio
import io
import itertools
import struct
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend_demo.domain.names import SENSOR_MAX
from backend_demo.gateway.rows import columnar
from backend_demo.gateway.rows.formats import ColumnarFormatName
from backend_demo.storage import ranges

Row = tuple[int, float, float]

ROWS = st.lists(st.tuples(st.integers(0, SENSOR_MAX), st.floats(0, 9e9), st.floats(allow_nan=False)), max_size=20)


def copied(rows: Sequence[Row]) -> bytes:
    """The rows as PostgreSQL sends them between the header and the trailer of a binary COPY."""
    return b"".join(struct.pack(">hiqidid", 3, 8, sensor, 8, timestamp, 8, value) for sensor, timestamp, value in rows)


def cut(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    ends = sorted({place for place in cuts if 0 < place < len(data)})
    return [piece for a, b in itertools.pairwise([0, *ends, len(data)]) if (piece := data[a:b])]


def read(name: ColumnarFormatName, data: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(data)) if name == "parquet" else pa.ipc.open_stream(data).read_all()


def rows_of(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def encoded(name: ColumnarFormatName, pieces: Sequence[bytes]) -> bytes:
    async def run() -> bytes:
        encoder = columnar.ColumnarEncoder(name)
        return b"".join([await encoder.feed(piece) for piece in pieces] + [await encoder.end()])

    return asyncio.run(run())


@pytest.mark.parametrize("name", ["parquet", "arrow"])
@settings(deadline=None, max_examples=50)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 800)))
def test_the_rows_come_out_exactly(name: ColumnarFormatName, rows: list[Row], cuts: list[int]) -> None:
    table = read(name, encoded(name, cut(copied(rows), cuts)))
    assert table.schema.names == ["sensor", "timestamp", "value"]
    assert list(map(repr, rows_of(table))) == list(map(repr, rows))  # tells -0.0 from 0.0


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_it_is_sent_group_by_group(name: ColumnarFormatName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "GROUP", 10)
    rows = [(1, float(i), i / 3) for i in range(35)]

    async def run() -> list[bytes]:
        encoder = columnar.ColumnarEncoder(name)
        return [await encoder.feed(copied([row])) for row in rows] + [await encoder.end()]

    pieces = asyncio.run(run())
    assert pieces[0]  # the first byte waits for nothing
    assert [bool(piece) for piece in pieces].count(True) in (5, 6)
    assert rows_of(read(name, b"".join(pieces))) == rows


@pytest.mark.parametrize("name", ["parquet", "arrow"])
@pytest.mark.parametrize("rows", [[], [(1, 20.5, 3, None)]])
def test_a_whole_document(name: ColumnarFormatName, rows: list[tuple[object, ...]]) -> None:
    columns = ("sensor", "from", "count", "mean")
    values = list(zip(*rows, strict=True)) or [()] * 4
    table = read(name, columnar.document(name, columns, values, {"of": "3"}))
    assert rows_of(table) == rows
    assert table.schema.field("count").type == pa.int64()
    assert table.schema.metadata[b"of"] == b"3"


@given(ROWS, st.lists(st.integers(0, 900)))
def test_the_frame_of_a_binary_copy_is_removed(rows: list[Row], cuts: list[int]) -> None:
    whole = b"PGCOPY\n\xff\r\n\0" + bytes(8) + copied(rows) + b"\xff\xff"
    found: list[bytes] = []

    async def run() -> None:
        async def output(data: bytes) -> None:
            found.append(data)

        unframed = ranges.without_frame(output)
        for piece in cut(whole, cuts):
            await unframed(piece)

    asyncio.run(run())
    assert b"".join(found) == copied(rows)
    assert all(found)
