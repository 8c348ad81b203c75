"""The query parameters of the routes: their types and bounds, and the refusal of what is unknown or repeated."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from backend_demo.domain.topics import SENSOR_MAX

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


SensorNumber = Annotated[int, Field(ge=0, le=SENSOR_MAX, description="Sensor number."), BeforeValidator(_integer)]
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


async def each_once(request: Request) -> None:
    """Refuses a parameter that is there twice: FastAPI takes the last one, other servers the first."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [name for name, times in given.items() if times > 1]
    if repeated:
        raise RequestValidationError(
            [{"type": "repeated", "loc": ("query", name), "msg": "given more than once"} for name in repeated]
        )
