"""What `bdemo query` prints with -o json, as types."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict


class ReadingRow(TypedDict):
    """A reading, or an average."""

    sensor: int
    timestamp: float
    """Epoch seconds."""
    time: str
    """The same in RFC 3339."""
    value: float


BucketRow = TypedDict(
    "BucketRow",
    {
        "sensor": int,
        "from": float,
        "time": str,
        "mean": float,
        "min": float,
        "max": float,
        "count": int,
        "first": float,
        "last": float,
    },
    total=False,
)
"""The readings or averages of a bucket; of the aggregates, those that were asked for."""


class SensorRow(TypedDict):
    """What is known of a sensor."""

    sensor: int
    count: int
    first: float
    last: float
    last_value: float
    last_average: float | None
    name: str | None


QueryDocument = TypedDict(
    "QueryDocument",
    {
        "schema": Literal["bdemo.query/1"],
        "query": Literal["latest", "range", "average", "sensors"],
        "sensors": list[int],
        "from": float | None,
        "to": float | None,
        "rows": list[ReadingRow] | list[BucketRow] | list[SensorRow],
        "truncated": bool,
    },
)
"""What `bdemo query` prints with -o json. `sensors`: those asked for; none: all. `truncated`: there are more rows."""


class SqlColumn(TypedDict):
    """A column of the result."""

    name: str
    type: str
    """PostgreSQL's name of the type."""


class SqlDocument(TypedDict):
    """What a statement returned."""

    schema: Literal["bdemo.sql/1"]
    columns: list[SqlColumn]
    rows: list[dict[str, Any]]
    """By column; what JSON lacks is text."""
    truncated: bool
    """Whether there are more rows."""
