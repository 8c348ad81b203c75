"""Writes rows as JSON, NDJSON, CSV and Parquet, block by block: they are never all in memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

from backend_demo.cli.query_values import as_json, as_text, encode

if TYPE_CHECKING:
    import pyarrow as pa

Blocks = Iterable[Sequence[Sequence[Any]]]

#: Rows of a Parquet row group: what readers skip or take as a whole.
ROW_GROUP = 50_000


def write_csv(blocks: Blocks, columns: Sequence[str], out: BinaryIO, *, header: bool = True) -> int:
    """With a header, lines end in CRLF, as RFC 4180 and the gateway have it; null is empty. The number of rows."""
    count = 0
    blocks = _begun(blocks)
    text = io.StringIO()
    write = csv.writer(text).writerow
    if header:
        write(columns)
    for rows in blocks:
        for row in rows:
            write([as_text(value, null="") for value in row])
        _flush(text, out)
        count += len(rows)
    _flush(text, out)
    return count


def write_ndjson(blocks: Blocks, columns: Sequence[str], out: BinaryIO) -> int:
    """An object a line. The number of rows."""
    count = 0
    for rows in blocks:
        out.write(b"".join(encode(_object(columns, row)) + b"\n" for row in rows))
        out.flush()
        count += len(rows)
    return count


def write_json(
    blocks: Blocks,
    columns: Sequence[str],
    out: BinaryIO,
    *,
    head: Mapping[str, Any],
    truncated: Callable[[], bool],
    dressed: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row,
) -> int:
    """One document: `head`, then `rows`, then whether there are more, as is known at the end. The number of rows."""
    count = 0
    blocks = _begun(blocks)
    out.write(encode(head)[:-1] + b',"rows":[')
    for rows in blocks:
        for row in rows:
            out.write((b",\n" if count else b"\n") + encode(dressed(_object(columns, row))))
            count += 1
    out.write((b"\n" if count else b"") + b'],"truncated":' + (b"true" if truncated() else b"false") + b"}\n")
    return count


def write_parquet(blocks: Blocks, schema: pa.Schema, out: BinaryIO) -> int:
    """Row groups of about ROW_GROUP rows, compressed by Zstandard. The number of rows."""
    import pyarrow as pa
    from pyarrow import parquet

    count, batches = 0, []
    blocks = _begun(blocks)
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


def _begun(blocks: Blocks) -> Blocks:
    """The same, its first block there already: what fails at once leaves nothing behind."""
    rest = iter(blocks)
    return chain([next(rest, [])], rest)


def _object(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {name: as_json(value) for name, value in zip(columns, row, strict=True)}


def _flush(text: io.StringIO, out: BinaryIO) -> None:
    out.write(text.getvalue().encode())
    out.flush()
    text.seek(0)
    text.truncate()


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
