"""The query parameters of the routes: their types and bounds, and the refusal of what is unknown or repeated."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from backend_demo.domain.bucket import AGGREGATES, Aggregate, parse_bucket
from backend_demo.domain.reading import epoch_seconds
from backend_demo.domain.topics import SENSOR_MAX
from backend_demo.gateway import cursor, formats
from backend_demo.gateway.sampling import POINTS_MAX, POINTS_MIN
from backend_demo.storage.read import Series
from backend_demo.storage.selection import Selection

#: Rows of a page.
PAGE, PAGE_MAX = 1000, 10_000

#: The last second of the year 9999: a range without an end.
FOREVER = 253_402_300_799.0

# ASCII only: pydantic, like int() and float(), takes "1_000", " 25 " and "1.0" for a whole number
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
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
            raise ValueError("no epoch seconds and no RFC 3339 time, such as 2026-11-24T10:00:00Z")
    return given


SensorNumber = Annotated[int, Field(ge=0, le=SENSOR_MAX, description="Sensor number."), BeforeValidator(_integer)]
Time = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_time)]
Timestamp = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number)]


class Parameters(BaseModel):
    """Query parameters of a route; another one is an error, since it would be ignored in silence."""

    model_config = ConfigDict(extra="forbid")


class SensorParameters(Parameters):
    """One sensor."""

    sensor_num: SensorNumber


class RangeParameters(SensorParameters):
    """One sensor's rows of a range of time."""

    timestamp_start: Annotated[Timestamp, Field(description="First time, epoch seconds, included.")]
    timestamp_end: Annotated[Timestamp, Field(description="Last time, epoch seconds, included.")]

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
        list[SensorNumber], Field(max_length=1000, description="Sensor number, several times for several; none: all.")
    ] = []


def _limit(given: Any) -> Any:
    if given is None or given == "all":
        return given
    if isinstance(given, str) and _INTEGER.fullmatch(given):
        given = int(given)
    if not isinstance(given, int) or not 1 <= given <= PAGE_MAX:
        raise ValueError(f"not a number from 1 to {PAGE_MAX}, nor all")
    return given


class HistoryParameters(Parameters):
    """Rows of several sensors, as pages or all of them."""

    sensor: Annotated[
        list[SensorNumber], Field(max_length=1000, description="Sensor number, several times for several; none: all.")
    ] = []
    start: Annotated[
        Time, Field(alias="from", description="First time, included: RFC 3339 or epoch seconds. Default: the oldest.")
    ] = 0.0
    end: Annotated[
        Time, Field(alias="to", description="Last time, included: RFC 3339 or epoch seconds. Default: the newest.")
    ] = FOREVER
    order: Annotated[
        Literal["asc", "desc"], Field(description="By sensor, then by time; `desc`: the other way round.")
    ] = "asc"
    limit: Annotated[
        int | Literal["all"] | None,
        BeforeValidator(_limit),
        Field(description=f"Rows of a page; `all`: every row, streamed. Default: {PAGE} as JSON, else `all`."),
    ] = None
    cursor: Annotated[str | None, Field(max_length=200, description="`next` of the page before.")] = None
    format: Annotated[formats.Name | None, Field(description="Form of the answer; default: what `Accept` prefers.")] = (
        None
    )

    bucket: Annotated[
        str | None,
        Field(
            max_length=10,
            examples=["5m"],
            description="Sums up by 30s, 5m, 1h, 1d, 1w, 1mo or 1y, counted from midnight in `tz`.",
        ),
    ] = None
    max_points: Annotated[
        int | None,
        Field(
            ge=POINTS_MIN,
            le=POINTS_MAX,
            examples=[500],
            description="At most so many rows of each sensor: those that draw the same line (LTTB), the first and the "
            "last among them. Not with `bucket`, nor with pages.",
        ),
        BeforeValidator(_integer),
    ] = None
    agg: Annotated[
        str, Field(max_length=100, description=f"What is told of a bucket: some of {', '.join(AGGREGATES)}.")
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
                raise ValueError(f"goes not together with {other}")
        return given

    @field_validator("agg")
    @classmethod
    def _aggregates(cls, given: str) -> str:
        names = given.split(",")
        for name in names:
            if name not in AGGREGATES:
                raise ValueError(f"{name[:20]!r} is none of {', '.join(AGGREGATES)}")
        if len(set(names)) < len(names):
            raise ValueError("names one of them twice")
        return given

    @field_validator("tz")
    @classmethod
    def _zone(cls, given: str) -> str:
        if given not in _zones():
            raise ValueError(f"{given[:40]!r} is no time zone of the IANA database")
        return given

    @field_validator("end")
    @classmethod
    def _in_order(cls, end: float, info: ValidationInfo) -> float:
        start = info.data.get("start")
        if start is not None and start > end:
            raise ValueError("is before from")
        return end

    def selection(self, series: Series) -> Selection:
        """The rows that are asked for. Raises RequestValidationError when the cursor is of another query."""
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
        """The cursor behind a page of these rows, whose last one has this key."""
        return cursor.write(last, self._query(replace(selection, after=None)))

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """What is told of a bucket."""
        wanted = self.agg.split(",")
        return tuple(sorted((each for each in AGGREGATES if each in wanted), key=wanted.index))

    def _query(self, selection: Selection) -> object:
        """What a cursor belongs to: all that changes the order, or what there is."""
        return (selection, self.bucket, self.tz) if self.bucket else selection


@cache
def _zones() -> set[str]:
    return available_timezones()


async def each_once(request: Request) -> None:
    """Refuses a parameter that is there twice: FastAPI takes the last one, other servers the first."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [name for name, times in given.items() if times > 1]
    if repeated:
        raise RequestValidationError(
            [{"type": "repeated", "loc": ("query", name), "msg": "given more than once"} for name in repeated]
        )
