"""Formats that `Accept` prefers, text formats, and cursors."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.bucket import Bucket, parse_bucket
from backend_demo.domain.names import SENSOR_MAX
from backend_demo.gateway.rows import cursor
from backend_demo.gateway.rows.formats import LineEncoder, TextFormatName, accepted, form


@pytest.mark.parametrize(
    ("header", "preferred"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV; header=present", "csv"),
        ("text/*", "csv"),
        ("application/x-ndjson;q=0.5, text/csv;q=0.9", "csv"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "json"),
        ("application/jsonl", "ndjson"),
        ("application/vnd.apache.parquet", "parquet"),
        ("application/vnd.apache.arrow.stream, application/json;q=0.9", "arrow"),
        ("application/*", "json"),
        ("text/csv;q=0", None),
        ("image/png", None),
        ("text/csv;q=many", None),
    ],
)
def test_the_preferred_format(header: str, preferred: str | None) -> None:
    assert accepted(header) == preferred


@given(st.integers(0, SENSOR_MAX), st.floats(0, 9e9), st.text())
def test_a_cursor_is_read_back(sensor: int, timestamp: float, query: str) -> None:
    written = cursor.write((sensor, timestamp), query)
    assert written.isascii()
    assert cursor.read(written, query) == (sensor, timestamp)


@given(st.text(max_size=50))
def test_an_invalid_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cursor|query"):
        cursor.read(text, "a query")


TEXTS: list[TextFormatName] = ["json", "csv", "ndjson"]
COLUMNS = ("sensor", "timestamp", "value")

ROWS = st.lists(st.tuples(st.integers(0, SENSOR_MAX), st.floats(0, 9e9), st.floats(allow_nan=False)), max_size=20)


def test_a_forged_cursor_still_names_a_valid_sensor() -> None:
    """Its checksum may be correct."""
    with pytest.raises(ValueError, match="not a cursor"):
        cursor.read(cursor.write((SENSOR_MAX + 1, 1.0), "a query"), "a query")


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_format_gives_floats_exactly(name: TextFormatName) -> None:
    text = form(name, "readings", COLUMNS).encode([(7, 1700000000.123456, 0.1 + 0.2)])
    assert "1700000000.123456" in text
    assert "0.30000000000000004" in text


@pytest.mark.parametrize("rows", [[], [(1, 2.5)], [(1, 2.5), (2, 3.5)]])
def test_json_is_a_document(rows: list[tuple[int, float]]) -> None:
    found = [{"a": a, "b": b} for a, b in rows]
    last = json.loads(form("json", "rows", ("a", "b")).document(rows))
    assert last == {"rows": found, "truncated": False, "next": None}
    page = json.loads(form("json", "rows", ("a", "b"), following="abc", sampled={"of": 3}).document(rows))
    assert page == {"rows": found, "truncated": True, "next": "abc", "sampled": {"of": 3}}


@pytest.mark.parametrize("name", TEXTS)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 1500)))
def test_lines_cut_anywhere_make_the_same_document(
    name: TextFormatName, rows: list[tuple[int, float, float]], cuts: list[int]
) -> None:
    made = form(name, "readings", COLUMNS)
    lines = "".join(made.row % row + "\n" for row in rows).encode()
    pieces = [lines[a:b] for a, b in itertools.pairwise([0, *sorted(cuts), len(lines)])]

    async def streamed() -> bytes:
        encoder = LineEncoder(made)
        return b"".join([await encoder.feed(piece) for piece in pieces if piece] + [await encoder.end()])

    assert asyncio.run(streamed()).decode() == made.document(rows)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("30s", Bucket(30, "day")),
        ("5m", Bucket(300, "day")),
        ("24h", Bucket(86_400, "day")),
        ("d", Bucket(None, "day")),
        ("1w", Bucket(None, "week")),
        ("1mo", Bucket(None, "month")),
    ],
)
def test_a_bucket(text: str, size: Bucket) -> None:
    assert parse_bucket(text) == size


@pytest.mark.parametrize("text", ["", "0s", "25h", "2d", "5", "m", "-1m", "1.5h", "٣m", "1m;drop table average"])
def test_an_invalid_bucket_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        parse_bucket(text)
