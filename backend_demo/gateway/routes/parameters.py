"""Query parameters: types, bounds, and refusal of unknown or repeated ones."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator
from starlette.exceptions import HTTPException

from backend_demo.domain.bucket import AGGREGATES, AggregateName, parse_bucket
from backend_demo.domain.names import NAME_MAX, SENSOR_MAX, name_problem, number_of
from backend_demo.domain.reading import epoch_seconds
from backend_demo.gateway.rows import cursor, formats
from backend_demo.gateway.rows.downsample import POINTS_MAX, POINTS_MIN
from backend_demo.storage.selection import Selection, Series

#: Default and maximum number of rows in a page.
PAGE, PAGE_MAX = 1000, 10_000

#: The last second of the year 9999, the end of a range without an end.
FOREVER = 253_402_300_799.0

# ASCII only: pydantic, like int() and float(), accepts "1_000", " 25 " and "1.0" as whole numbers
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_DIGITS = re.compile(r"[+-]?[0-9]+")
# for the OpenAPI document; what decides is `name_problem`
_NAME = rf"^(?![+-]?[0-9]+$)(?!\s)(?!.*\s$)[^\x00-\x1f\x7f-\x9f/+#\u2028\u2029\ufffd]{{1,{NAME_MAX}}}$"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def _integer(given: Any) -> Any:
    if isinstance(given, str) and not _INTEGER.fullmatch(given):
        raise ValueError("not a whole number of at most 19 digits")
    return given


def _number(given: Any) -> Any:
    if isinstance(given, str) and not _NUMBER.fullmatch(given):
        raise ValueError("not a finite number")
    return given


def _time(given: Any) -> Any:
    if isinstance(given, str):
        given = epoch_seconds(given)
        if given is None:
            raise ValueError("not a time: use epoch seconds or RFC 3339, such as 2026-11-24T10:00:00Z")
    return given


def _sensor(given: Any) -> Any:
    if not isinstance(given, str) or _DIGITS.fullmatch(given):
        return _integer(given)
    problem = name_problem(given)
    if problem is not None:
        raise ValueError(problem)
    return number_of(given)


SensorNumber = Annotated[int, Field(ge=0, le=SENSOR_MAX, description="Sensor number."), BeforeValidator(_integer)]
#: A number, or a name, which stands for its number.
NamedSensor = Annotated[
    int,
    Field(ge=0, le=SENSOR_MAX),
    BeforeValidator(_sensor),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": SENSOR_MAX},
                {"type": "string", "pattern": _NAME},
            ],
            "examples": [1, "kitchen"],
        }
    ),
]
QueryTime = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_time)]
Timestamp = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number)]


class Parameters(BaseModel):
    """Query parameters of a route. Any other parameter is an error: otherwise it would be ignored silently."""

    model_config = ConfigDict(extra="forbid")


class SensorParameters(Parameters):
    """One sensor."""

    sensor_num: SensorNumber


class RangeParameters(SensorParameters):
    """One sensor and a time range."""

    timestamp_start: Annotated[Timestamp, Field(description="Start of the range, epoch seconds, inclusive.")]
    timestamp_end: Annotated[Timestamp, Field(description="End of the range, epoch seconds, inclusive.")]

    @field_validator("timestamp_end")
    @classmethod
    def _in_order(cls, end: float, info: ValidationInfo) -> float:
        start = info.data.get("timestamp_start")
        if start is not None and start > end:
            raise ValueError("is before timestamp_start")
        return end


class LatestParameters(Parameters):
    """Several sensors, or all."""

    sensor: Annotated[
        list[NamedSensor], Field(max_length=1000, description="Number or name, several times for several; none: all.")
    ] = []


def _limit(given: Any) -> Any:
    if given is None or given == "all":
        return given
    if isinstance(given, str) and _INTEGER.fullmatch(given):
        given = int(given)
    if not isinstance(given, int) or not 1 <= given <= PAGE_MAX:
        raise ValueError(f"neither a number from 1 to {PAGE_MAX} nor all")
    return given


class HistoryParameters(Parameters):
    """Rows of several sensors in a time range, in pages or all at once."""

    sensor: Annotated[
        list[NamedSensor], Field(max_length=1000, description="Number or name, several times for several; none: all.")
    ] = []
    start: Annotated[
        QueryTime,
        Field(
            alias="from",
            description="Start of the range, inclusive: RFC 3339 or epoch seconds. Default: the oldest row.",
        ),
    ] = 0.0
    end: Annotated[
        QueryTime,
        Field(
            alias="to", description="End of the range, inclusive: RFC 3339 or epoch seconds. Default: the newest row."
        ),
    ] = FOREVER
    order: Annotated[
        Literal["asc", "desc"], Field(description="Order by sensor, then time: ascending or descending.")
    ] = "asc"
    limit: Annotated[
        int | Literal["all"] | None,
        BeforeValidator(_limit),
        Field(
            description=f"Rows per page; `all`: every row, streamed. Default: {PAGE} for JSON, `all` for other formats."
        ),
    ] = None
    cursor: Annotated[str | None, Field(max_length=200, description="`next` of the previous page.")] = None
    format: Annotated[
        formats.FormatName | None, Field(description="Format of the answer. Default: what `Accept` prefers.")
    ] = None

    bucket: Annotated[
        str | None,
        Field(
            max_length=10,
            examples=["5m"],
            description="Summarises by 30s, 5m, 1h, 1d, 1w, 1mo or 1y, counted from midnight in `tz`.",
        ),
    ] = None
    max_points: Annotated[
        int | None,
        Field(
            ge=POINTS_MIN,
            le=POINTS_MAX,
            examples=[500],
            description="At most this many rows for each sensor: those that draw the same line (LTTB), including the "
            "first and the last. Cannot be combined with `bucket` or pages.",
        ),
        BeforeValidator(_integer),
    ] = None
    agg: Annotated[
        str,
        Field(max_length=100, description=f"Aggregates of each bucket, separated by commas: {', '.join(AGGREGATES)}."),
    ] = "mean,min,max,count"
    tz: Annotated[str, Field(max_length=100, description="Time zone of the buckets, such as Europe/Berlin.")] = "UTC"

    @field_validator("bucket")
    @classmethod
    def _bucket(cls, given: str | None) -> str | None:
        if given is not None:
            parse_bucket(given)
        return given

    @field_validator("max_points")
    @classmethod
    def _of_whole_ranges(cls, given: int | None, info: ValidationInfo) -> int | None:
        for other in ("bucket", "limit", "cursor"):
            if given is not None and info.data.get(other) not in (None, "all"):
                raise ValueError(f"cannot be combined with {other}")
        return given

    @field_validator("agg")
    @classmethod
    def _aggregates(cls, given: str) -> str:
        names = given.split(",")
        for name in names:
            if name not in AGGREGATES:
                raise ValueError(f"unknown aggregate {name[:20]!r}: use {', '.join(AGGREGATES)}")
        if len(set(names)) < len(names):
            raise ValueError("names an aggregate twice")
        return given

    @field_validator("tz")
    @classmethod
    def _zone(cls, given: str) -> str:
        if given not in _zones():
            raise ValueError(f"unknown time zone {given[:40]!r}: use an IANA name, such as Europe/Berlin")
        return given

    @field_validator("end")
    @classmethod
    def _in_order(cls, end: float, info: ValidationInfo) -> float:
        start = info.data.get("start")
        if start is not None and start > end:
            raise ValueError("is before from")
        return end

    def selection(self, series: Series) -> Selection:
        """The selected rows. Raises RequestValidationError if the cursor belongs to another query."""
        sensors = tuple(sorted(set(self.sensor)))
        wanted = Selection(series, sensors, self.start, self.end, self.order == "desc")
        if self.cursor is None:
            return wanted
        try:
            return replace(wanted, after=cursor.read(self.cursor, self._query(wanted)))
        except ValueError as problem:
            raise RequestValidationError(
                [{"type": "cursor", "loc": ("query", "cursor"), "msg": str(problem)}]
            ) from problem

    def next(self, selection: Selection, last: tuple[int, float]) -> str:
        """The cursor after a page of these rows whose last row has this key."""
        return cursor.write(last, self._query(replace(selection, after=None)))

    @property
    def aggregates(self) -> tuple[AggregateName, ...]:
        """The aggregates of a bucket, in the order given."""
        wanted = self.agg.split(",")
        return tuple(sorted((each for each in AGGREGATES if each in wanted), key=wanted.index))

    def _query(self, selection: Selection) -> object:
        """What a cursor belongs to: everything that determines the rows and their order."""
        return (selection, self.bucket, self.tz) if self.bucket else selection


@cache
def _zones() -> set[str]:
    return available_timezones()


async def each_once(request: Request) -> None:
    """Refuses repeated parameters: FastAPI would take the last one, other servers the first."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [name for name, times in given.items() if times > 1]
    if repeated:
        raise RequestValidationError(
            [{"type": "repeated", "loc": ("query", name), "msg": "given more than once"} for name in repeated]
        )


async def json_only(request: Request) -> None:
    """Refuses other media types: a form on another site could send text, even though it cannot read the answer."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != "application/json":
        raise HTTPException(415, "the body must be application/json", {"Accept": "application/json"})
