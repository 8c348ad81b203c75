"""The gateway's rows for programs, with the names and types that the gateway itself gives them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from backend_demo.cli.query.rows import Blocks, RowSet

if TYPE_CHECKING:
    import pyarrow as pa

    from backend_demo.operations.query import Answer

SCHEMA = "bdemo.query/1"


def row_set(answer: Answer, blocks: Blocks, *, cut: bool = False) -> RowSet:
    """These rows of the answer. `cut`: the answer has more of them."""
    return RowSet(
        columns=answer.columns,
        blocks=blocks,
        head={
            "schema": SCHEMA,
            "query": answer.query,
            "sensors": answer.sensors,
            "from": answer.start,
            "to": answer.end,
        },
        truncated=lambda: cut or not answer.complete,
        arrow_schema=lambda: _arrow_schema(answer),
        json_row=_with_time,
    )


def _with_time(row: dict[str, Any]) -> dict[str, Any]:
    """The row, with its time in RFC 3339 after its time in seconds."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        found[name] = value
        if name in ("timestamp", "from"):
            moment = datetime.fromtimestamp(value, UTC).isoformat(timespec="microseconds")
            found["time"] = moment.replace("+00:00", "Z")
    return found


def _arrow_schema(answer: Answer) -> pa.Schema:
    import pyarrow as pa

    whole = ("sensor", "count")
    types = {**dict.fromkeys(whole, pa.int64()), "name": pa.string()}
    return pa.schema([(column, types.get(column, pa.float64())) for column in answer.columns])
