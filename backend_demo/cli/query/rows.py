"""Writes rows as JSON, NDJSON, CSV or Parquet, block by block: they are never all in memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

from backend_demo.cli.query.values import as_json, as_text, encode
from backend_demo.text import as_csv_cell, escaped_json

if TYPE_CHECKING:
    import pyarrow as pa

    from backend_demo.cli.query.target import RowFormat

Blocks = Iterable[Sequence[Sequence[Any]]]

#: What comes from no text.
_CALCULATED = (int, float, Decimal, date)

#: Rows of a Parquet row group, which readers skip or read as a whole.
ROW_GROUP = 50_000


@dataclass(frozen=True)
class RowSet:
    """Rows for programs, with what the formats need to know about them."""

    columns: Sequence[str]
    blocks: Blocks
    head: Mapping[str, Any]
    """The fields of the JSON document before its rows; the first is `schema`."""
    truncated: Callable[[], bool]
    """Whether there are more rows; called after the last block."""
    arrow_schema: Callable[[], pa.Schema]
    json_row: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row
    """The row as it is in the JSON document."""


def write(rows: RowSet, row_format: RowFormat, out: BinaryIO, *, header: bool = True) -> int:
    """Writes the rows and returns their number. `header`: with the names of the columns in CSV."""
    # the first block before anything is written: an error there leaves nothing behind
    rest = iter(rows.blocks)
    blocks = chain([next(rest, [])], rest)
    match row_format:
        case "csv":
            return _write_csv(blocks, rows.columns, out, header)
        case "ndjson":
            return _write_ndjson(blocks, rows.columns, out)
        case "parquet":
            return _write_parquet(blocks, rows.arrow_schema(), out)
        case "json":
            return _write_json(blocks, rows, out)
        case "table":
            raise ValueError("a table is not for programs")


def _write_csv(blocks: Blocks, columns: Sequence[str], out: BinaryIO, header: bool) -> int:
    """Lines end in CRLF, as in RFC 4180 and in the gateway's CSV; null is empty. No text becomes a formula."""
    count = 0
    text = io.StringIO()
    write_row = csv.writer(text).writerow
    if header:
        write_row(map(as_csv_cell, columns))
    for rows in blocks:
        for row in rows:
            write_row([_cell(value) for value in row])
        out.write(text.getvalue().encode())
        out.flush()
        text.seek(0)
        text.truncate()
        count += len(rows)
    return count


def _write_ndjson(blocks: Blocks, columns: Sequence[str], out: BinaryIO) -> int:
    """One object per line."""
    count = 0
    for rows in blocks:
        out.write(b"".join(_document(_object(columns, row)) + b"\n" for row in rows))
        out.flush()
        count += len(rows)
    return count


def _write_json(blocks: Blocks, rows: RowSet, out: BinaryIO) -> int:
    """One document: the head, then `rows`, one per line, then `truncated`."""
    count = 0
    out.write(_document(rows.head)[:-1] + b',"rows":[')
    for block in blocks:
        for row in block:
            out.write((b",\n" if count else b"\n") + _document(rows.json_row(_object(rows.columns, row))))
            count += 1
    out.write((b"\n" if count else b"") + b'],"truncated":' + (b"true" if rows.truncated() else b"false") + b"}\n")
    return count


def _write_parquet(blocks: Blocks, schema: pa.Schema, out: BinaryIO) -> int:
    """Row groups of about ROW_GROUP rows, compressed with Zstandard."""
    import pyarrow as pa
    from pyarrow import parquet

    count, batches = 0, []
    with parquet.ParquetWriter(pa.PythonFile(out, mode="w"), schema, compression="zstd") as writer:
        for rows in blocks:
            columns = zip(*rows, strict=True) if rows else [()] * len(schema)
            arrays = [_array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            batches.append(pa.record_batch(arrays, schema=schema))
            count += len(rows)
            if sum(batch.num_rows for batch in batches) >= ROW_GROUP:
                writer.write_table(pa.Table.from_batches(batches))
                batches = []
        if batches:
            writer.write_table(pa.Table.from_batches(batches))
    return count


def _cell(value: Any) -> str:
    text = as_text(value, null="")
    return text if isinstance(value, _CALCULATED) else as_csv_cell(text)


def _document(value: Any) -> bytes:
    """JSON that cannot steer a terminal."""
    document = encode(value)
    return document if document.isascii() and b"\x7f" not in document else escaped_json(document.decode()).encode()


def _object(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {name: as_json(value) for name, value in zip(columns, row, strict=True)}


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return pa.array([_fitting(value, kind) for value in values], kind)


def _fitting(value: Any, kind: pa.DataType) -> Any:
    """The value as pyarrow takes it for this type."""
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_list(kind):
        return [_fitting(inner, kind.value_type) for inner in value]
    if pa.types.is_string(kind):
        return as_text(value)
    return float(value) if pa.types.is_floating(kind) else value
