"""The newest readings: /v1/latest."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from backend_demo.gateway import problems
from backend_demo.gateway.measure import observe_age
from backend_demo.gateway.parameters import LatestParameters
from backend_demo.storage import read
from backend_demo.storage.pool import Database

#: The most sensors that one answer holds.
SENSORS_MAX = 100_000
#: Sensors that a 404 names beside the unknown ones.
NEAREST = 5

router = APIRouter(
    prefix="/v1",
    tags=["v1"],
    responses=problems.responses(_422="A parameter is wrong.", _503="The database is away; try again."),
)


class ReadingModel(BaseModel):
    """A reading."""

    sensor: int = Field(examples=[1])
    timestamp: float = Field(examples=[1664000000.123], description="The sensor's time, epoch seconds.")
    value: float = Field(examples=[21.0], description="Degrees Celsius.")


class LatestModel(BaseModel):
    """The newest reading of each sensor, by sensor number."""

    readings: list[ReadingModel]
    truncated: bool = Field(description="There are more sensors than one answer holds.")


@router.get(
    "/latest",
    response_model=LatestModel,
    summary="The newest reading of one, several or all sensors",
    responses=problems.responses(_404="A sensor has no readings; `known` names the nearest ones that have."),
)
async def latest(request: Request, wanted: Annotated[LatestParameters, Query()]) -> Response:
    """The newest reading of each sensor, by the sensor's time."""
    database: Database = request.app.state.database
    if not wanted.sensor:
        rows = await database.read(lambda connection: read.latest_of_all(connection, "temperature", SENSORS_MAX + 1))
        return _answer(rows[-SENSORS_MAX:], truncated=len(rows) > SENSORS_MAX)
    rows = await database.read(lambda connection: read.latest_of(connection, "temperature", wanted.sensor))
    unknown = sorted(set(wanted.sensor) - {sensor for _, _, sensor, _ in rows})
    if not unknown:
        return _answer(rows, truncated=False)
    return await unknown_sensor(database, unknown)


async def unknown_sensor(database: Database, unknown: Sequence[int]) -> Response:
    """The answer for sensors without readings; it names the nearest ones that have."""
    every = await database.read(lambda connection: read.latest_of_all(connection, "temperature", SENSORS_MAX))
    return problems.problem(
        404,
        "unknown_sensor",
        f"no readings of sensor {', '.join(map(str, unknown))}",
        sensors=unknown,
        known=nearest(unknown[0], (sensor for _, _, sensor, _ in every)),
    )


def nearest(sensor: int, known: Iterable[int]) -> list[int]:
    """The known sensors whose numbers are nearest to this one."""
    return sorted(heapq.nsmallest(NEAREST, known, key=lambda number: abs(number - sensor)))


def _answer(rows: Sequence[read.Row], *, truncated: bool) -> Response:
    observe_age("/v1/latest", rows)
    readings = [{"sensor": sensor, "timestamp": time, "value": value} for _, time, sensor, value in rows]
    body = msgspec.json.encode({"readings": readings, "truncated": truncated})
    return Response(body, media_type="application/json")
