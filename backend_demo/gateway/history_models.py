"""What /v1/readings and /v1/averages answer, for their OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from backend_demo.gateway import columnar
from backend_demo.gateway.latest import ReadingModel


class SampledModel(BaseModel):
    """The rows are not all there are: they are those that draw the same line."""

    method: str = Field(examples=["lttb"], description="How they were chosen.")
    max_points: int = Field(examples=[500], description="At most so many of each sensor.")
    points: int = Field(examples=[500], description="Rows of this answer.")
    of: int = Field(examples=[1_000_000], description="Rows of the range.")


class PageModel(BaseModel):
    """Rows by sensor and time."""

    truncated: bool = Field(description="There are more rows: ask again with `cursor` set to `next`.")
    next: str | None = Field(
        None, description="Where the next page begins; null: there is none.", examples=["WzEsMTY2NDAwMDAwMC4xMjMsMTJd"]
    )
    sampled: SampledModel | None = Field(None, description="With `max_points`.")


class ReadingsModel(PageModel):
    readings: list[ReadingModel]


class AveragesModel(PageModel):
    averages: list[ReadingModel]


class BucketModel(BaseModel):
    """A sensor's readings or averages of a bucket: those of `agg`."""

    sensor: int = Field(examples=[1])
    start: float = Field(alias="from", examples=[1664000000.0], description="Where it begins, epoch seconds.")
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
_JSON = {
    "a page of readings": {"readings": [_READING], "truncated": True, "next": "WzEsMTY2NDAwMDAwMC4xMjMsMTJd"},
    "with max_points": {"readings": [_READING], "truncated": False, "next": None, "sampled": _SAMPLED},
    "with bucket": {"buckets": [_BUCKET], "truncated": False, "next": None},
}


def _header(description: str, example: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "description": description, "example": example}


#: The answers that FastAPI does not know of by itself.
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {"examples": {name: {"value": value} for name, value in _JSON.items()}},
            "text/csv": {"schema": {"type": "string"}, "example": _CSV},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": _NDJSON},
            **dict.fromkeys(columnar.MEDIA_TYPES.values(), _BINARY),
        },
        "headers": {
            "Link": _header('The next page, as `rel="next"`.', '</v1/readings?cursor=WzEsMTY2NDAwM>; rel="next"'),
            "Sampled": _header(
                "With `max_points`: how many rows these are, of how many.",
                "lttb;max_points=500;points=500;of=1000000",
            ),
            "ETag": _header(
                "Of a range whose `to` is past: it changes with any row of it, also one that comes late.",
                'W/"2f0c1d9a7be35c04e6d1a8b2"',
            ),
            "Cache-Control": _header("`no-store`, or with an ETag `private, no-cache`.", "private, no-cache"),
        },
    },
    304: {"description": "The answer is still the one of this `If-None-Match`."},
}
