"""The answers of /v1/readings and /v1/averages in the OpenAPI document; the rows themselves are never objects."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from backend_demo.gateway import problems
from backend_demo.gateway.rows import columnar
from backend_demo.gateway.rows.page import Sampled


class ReadingModel(BaseModel):
    """A reading."""

    sensor: int = Field(examples=[1])
    timestamp: float = Field(examples=[1664000000.123], description="The sensor's time, epoch seconds.")
    value: float = Field(examples=[21.0], description="Degrees Celsius.")


class PageModel(BaseModel):
    """Rows in order of sensor and time."""

    truncated: bool = Field(description="There are more rows: repeat the request with `cursor` set to `next`.")
    next: str | None = Field(
        None, description="The cursor of the next page; null: there is none.", examples=["WzEsMTY2NDAwMDAwMC4xMjMsMTJd"]
    )
    sampled: Sampled | None = Field(None, description="With `max_points`: how the rows were chosen.")


class ReadingsModel(PageModel):
    readings: list[ReadingModel]


class AveragesModel(PageModel):
    averages: list[ReadingModel]


class BucketModel(BaseModel):
    """The values of one sensor in one bucket, summarised as `agg` says."""

    sensor: int = Field(examples=[1])
    start: float = Field(alias="from", examples=[1664000000.0], description="Start of the bucket, epoch seconds.")
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    count: int | None = None
    first: float | None = None
    last: float | None = None


class BucketsModel(PageModel):
    buckets: list[BucketModel]


_CSV = "sensor,timestamp,value\r\n1,1664000000.123,21.0\r\n"
_NDJSON = '{"sensor":1,"timestamp":1664000000.123,"value":21.0}\n'
_BINARY = {"schema": {"type": "string", "format": "binary"}}


_READING = {"sensor": 1, "timestamp": 1664000000.123, "value": 21.0}
_BUCKET = {"sensor": 1, "from": 1664000000.0, "mean": 21.25, "min": 20.5, "max": 22.0, "count": 60}
_SAMPLED = {"method": "lttb", "max_points": 500, "points": 500, "of": 1_000_000}


#: Problems of a request for history.
PROBLEMS = problems.responses(
    _406="None of the formats in `Accept` is available.",
    _422="A parameter is invalid.",
    _503="The database is unavailable; try again.",
    _504="The query takes too long; request less.",
)


def _header(description: str, example: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "description": description, "example": example}


def history(name: str) -> dict[int | str, dict[str, Any]]:
    """What FastAPI cannot derive from the models; `name`: of the rows in JSON."""
    examples = {
        f"a page of {name}": {name: [_READING], "truncated": True, "next": "WzEsMTY2NDAwMDAwMC4xMjMsMTJd"},
        "with max_points": {name: [_READING], "truncated": False, "next": None, "sampled": _SAMPLED},
        "with bucket": {"buckets": [_BUCKET], "truncated": False, "next": None},
    }
    content = {"application/json": {"examples": {title: {"value": value} for title, value in examples.items()}}}
    return {200: {**_HISTORY, "content": {**content, **_OTHER_FORMATS}}, 304: _NOT_MODIFIED}


_NOT_MODIFIED = {"description": "The answer named in `If-None-Match` is still current."}
_OTHER_FORMATS: dict[str, Any] = {
    "text/csv": {"schema": {"type": "string"}, "example": _CSV},
    "application/x-ndjson": {"schema": {"type": "string"}, "example": _NDJSON},
    **dict.fromkeys(columnar.MEDIA_TYPES.values(), _BINARY),
}
_HISTORY: dict[str, Any] = {
    "headers": {
        "Link": _header('The next page, as `rel="next"`.', '</v1/readings?cursor=WzEsMTY2NDAwM>; rel="next"'),
        "Sampled": _header(
            "With `max_points`: the number of rows in the answer, and in the range.",
            "lttb;max_points=500;points=500;of=1000000",
        ),
        "ETag": _header(
            "For a range whose `to` is past: it changes with any row of the range, including late ones.",
            'W/"2f0c1d9a7be35c04e6d1a8b2"',
        ),
        "Cache-Control": _header("`no-store`, or `private, no-cache` with an ETag.", "private, no-cache"),
    },
}
