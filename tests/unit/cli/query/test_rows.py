"""Rows for programs: JSON, NDJSON, CSV, Parquet; and values of the database."""

import csv
import io
import json
import os
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from backend_demo.cli.query import rows as writers
from backend_demo.cli.query.answer import row_set
from backend_demo.cli.query.rows import RowSet, write
from backend_demo.cli.query.target import RowFormat, Target
from backend_demo.cli.query.values import as_json, as_text
from backend_demo.operations.query import SENSOR, Answer
from tests.support.schemas import check

ROWS = st.lists(st.tuples(st.integers(0, 2**31), st.floats(0, 2e9), st.floats(-100, 200)), max_size=30)
ANSWER = Answer("range", [], sensors=(1,), start=1.5)


def written(row_format: RowFormat, blocks: Sequence[Sequence[Any]], **options: Any) -> bytes:
    out = io.BytesIO()
    count = write(row_set(ANSWER, blocks, **options), row_format, out)
    assert count == sum(map(len, blocks))
    return out.getvalue()


def cut(rows: list[Any], at: int) -> list[list[Any]]:
    return [rows[:at], rows[at:]]


@settings(deadline=None)  # the first Parquet loads pyarrow
@given(ROWS, st.integers(0, 30))
def test_no_format_loses_anything(rows: list[tuple[int, float, float]], at: int) -> None:
    blocks = cut(rows, at)
    lines = list(csv.reader(io.StringIO(written("csv", blocks).decode(), newline="")))
    assert lines[0] == ["sensor", "timestamp", "value"]
    assert [(int(a), float(b), float(c)) for a, b, c in lines[1:]] == rows
    objects = [json.loads(line) for line in written("ndjson", blocks).splitlines()]
    assert [tuple(row.values()) for row in objects] == rows
    document = check(json.loads(written("json", blocks)))
    assert [(row["sensor"], row["timestamp"], row["value"]) for row in document["rows"]] == rows
    table = parquet.read_table(io.BytesIO(written("parquet", blocks)))
    assert [tuple(row.values()) for row in table.to_pylist()] == rows


def test_a_document_says_what_was_asked_and_whether_there_is_more() -> None:
    document = check(json.loads(written("json", [[(1, 1_700_000_000.25, 20.0)]], cut=True)))
    assert list(document) == ["schema", "query", "sensors", "from", "to", "rows", "truncated"]
    assert document["rows"][0]["time"] == "2023-11-14T22:13:20.250000Z"
    assert (document["schema"], document["from"], document["to"]) == ("bdemo.query/1", 1.5, None)
    assert document["truncated"] is True


@pytest.mark.parametrize(
    "answer",
    [
        Answer("latest", [(1, 2.0, 3.0)]),
        Answer("sensors", [(1, 30, 0.0, 9.0, 20.0, None, "kitchen")], SENSOR),
        Answer("average", [(1, 60.0, 20.5, 4)], ("sensor", "from", "mean", "count"), (), 0.0, 90.0),
    ],
    ids=lambda answer: answer.query,
)
def test_every_answer_fits_its_schema(answer: Answer) -> None:
    out = io.BytesIO()
    write(row_set(answer, [answer.rows]), "json", out)
    assert len(check(json.loads(out.getvalue()))["rows"]) == 1


def test_a_big_parquet_file_has_row_groups_of_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "ROW_GROUP", 100)
    data = written("parquet", [[(1, float(i), 2.0) for i in range(30)] for _ in range(10)])
    metadata = parquet.ParquetFile(io.BytesIO(data)).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [120, 120, 60]


@pytest.mark.parametrize(
    ("pieces", "row_format", "rows"),
    [
        ([b"a,b\r\n1,", b"2\r\n", b"3,4\r\n"], "csv", 2),
        ([b"a,b\r\n"], "csv", 0),
        ([], "ndjson", 0),
        ([b"{}\n{}", b"\n"], "ndjson", 2),
        ([b"PAR1\n\n"], "parquet", None),
    ],
)
def test_rows_are_counted_as_they_pass(
    pieces: list[bytes], row_format: RowFormat, rows: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    assert Target(row_format, path).copy(pieces) == rows
    assert path.read_bytes() == b"".join(pieces)


def test_what_a_strange_gateway_sends_does_not_steer_a_terminal(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", os.fdopen(1, "w", closefd=False))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert Target("csv").copy([b"a,b\r\n1,", b"2\r\n\x1b[2J\xc2\x9b\r\n"]) == 2
    assert capfdbinary.readouterr().out == b"a,b\n1,2\n\\x1b[2J\\xc2\\x9b\n"


TEXT_ROWS = [("=cmd()", -1, -0.5, Decimal("-2"), date.min, "a\x1b[2J\x9b\nb\u202e", None, ["=1"], "-5")]


def text_rows(row_format: RowFormat) -> bytes:
    out = io.BytesIO()
    names = ["@a", "b", "c", "d", "e", "f", "g", "h", "i\x9b"]
    write(RowSet(names, [TEXT_ROWS], {"schema": "x"}, lambda: False, lambda: None), row_format, out)
    return out.getvalue()


def test_texts_in_csv_are_no_formulas_and_numbers_stay_numbers() -> None:
    head, row = csv.reader(io.StringIO(text_rows("csv").decode(), newline=""))
    assert head == ["'@a", "b", "c", "d", "e", "f", "g", "h", r"i\x9b"]
    assert row == ["'=cmd()", "-1", "-0.5", "-2", "-infinity", r"a\x1b[2J\x9b\x0ab\u202e", "", '["=1"]', "-5"]


@pytest.mark.parametrize("row_format", ["json", "ndjson"])
def test_texts_in_json_have_escapes_of_json(row_format: RowFormat) -> None:
    document = text_rows(row_format)
    assert document.decode().replace("\n", "").isprintable()
    found = json.loads(document)
    row = found["rows"][0] if row_format == "json" else found
    assert (row["@a"], row["f"], row["i\x9b"]) == ("=cmd()", "a\x1b[2J\x9b\nb\u202e", "-5")


ID = uuid.UUID(int=1)

VALUES: list[tuple[Any, Any, str]] = [
    (None, None, "null"),
    (True, True, "true"),
    (2**62, 2**62, str(2**62)),
    (0.1, 0.1, "0.1"),
    (float("nan"), "NaN", "NaN"),
    (float("-inf"), "-Infinity", "-Infinity"),
    (Decimal("1.10"), Decimal("1.10"), "1.10"),
    (Decimal("1E+3"), Decimal("1E+3"), "1000"),
    (Decimal("NaN"), "NaN", "NaN"),
    ("x\ny", "x\ny", "x\ny"),
    (b"\x00\xff", "\\x00ff", "\\x00ff"),
    (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
    (datetime(2026, 1, 2, 3, 4, 5, 7), "2026-01-02T03:04:05.000007", "2026-01-02T03:04:05.000007"),
    (date(2026, 1, 2), "2026-01-02", "2026-01-02"),
    (datetime.max.replace(tzinfo=UTC), "infinity", "infinity"),
    (date.min, "-infinity", "-infinity"),
    ([1, None, [2.5]], [1, None, [2.5]], "[1,null,[2.5]]"),
    ({"a": b"\x01"}, {"a": "\\x01"}, '{"a":"\\\\x01"}'),
    (ID, str(ID), str(ID)),
    (asyncpg.Range(1, 5), "[1,5)", "[1,5)"),
    (asyncpg.Range(None, 2.5, upper_inc=True), "(,2.5]", "(,2.5]"),
    ([asyncpg.Range(empty=True)], ["empty"], '["empty"]'),
]


@pytest.mark.parametrize(("value", "plain", "text"), VALUES, ids=lambda value: str(value)[:20])
def test_every_value_can_be_shown(value: Any, plain: Any, text: str) -> None:
    assert as_json(value) == plain
    assert as_text(value) == text


def test_a_number_stays_exact_in_json() -> None:
    out = io.BytesIO()
    rows = RowSet(["n"], [[(Decimal("0.1000000000000000000001"),)]], {}, lambda: False, lambda: None)
    write(rows, "ndjson", out)
    assert out.getvalue() == b'{"n":0.1000000000000000000001}\n'
