"""Writes the gateway's rows for programs, with the names and types that the gateway itself gives them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from backend_demo.cli import query_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from backend_demo.operations.query import Answer

SCHEMA = "bdemo.query/1"


def write(
    form: str,
    answer: Answer,
    blocks: query_rows.Blocks,
    out: BinaryIO,
    *,
    cut: bool = False,
    header: bool = True,
) -> int:
    """Writes these rows of the answer; `cut`: there are more of them. The number of rows."""
    columns = answer.columns
    if form == "csv":
        return query_rows.write_csv(blocks, columns, out, header=header)
    if form == "ndjson":
        return query_rows.write_ndjson(blocks, columns, out)
    if form == "parquet":
        return query_rows.write_parquet(blocks, _schema(answer), out)
    head = {
        "schema": SCHEMA,
        "query": answer.query,
        "sensors": answer.sensors,
        "from": answer.start,
        "to": answer.end,
    }
    return query_rows.write_json(
        blocks, columns, out, head=head, truncated=lambda: cut or not answer.complete, dressed=_with_time
    )


def copy(form: str, pieces: Iterable[bytes], out: BinaryIO) -> int | None:
    """Writes what the gateway wrote in this form. The number of rows, where it can be seen."""
    lines = 0
    for piece in pieces:
        out.write(piece)
        lines += piece.count(b"\n")
    return {"csv": lines - 1, "ndjson": lines}.get(form)


def _with_time(row: dict[str, Any]) -> dict[str, Any]:
    """The row, with its time in words behind its time in seconds."""
    dressed: dict[str, Any] = {}
    for name, value in row.items():
        dressed[name] = value
        if name in ("timestamp", "from"):
            moment = datetime.fromtimestamp(value, UTC).isoformat(timespec="microseconds")
            dressed["time"] = moment.replace("+00:00", "Z")
    return dressed


def _schema(answer: Answer) -> pa.Schema:
    import pyarrow as pa

    whole: Sequence[str] = ("sensor", "count")
    return pa.schema([(column, pa.int64() if column in whole else pa.float64()) for column in answer.columns])
