"""The newest reading of each sensor: /v1/latest."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from backend_demo.domain.names import number_of
from backend_demo.domain.reading import Row
from backend_demo.gateway import problems
from backend_demo.gateway.edge.measure import observe_age
from backend_demo.gateway.routes.answers import ReadingModel
from backend_demo.gateway.routes.parameters import LatestParameters
from backend_demo.storage.latest import latest_of, latest_of_all
from backend_demo.storage.pool import Database

#: Maximum number of sensors in one answer.
SENSORS_MAX = 100_000
#: Number of known sensors that a 404 suggests.
NEAREST = 5

router = APIRouter(
    prefix="/v1",
    tags=["v1"],
    responses=problems.responses(_422="A parameter is invalid.", _503="The database is unavailable; try again."),
)


class LatestModel(BaseModel):
    """The newest reading of each sensor, by sensor number."""

    readings: list[ReadingModel]
    truncated: bool = Field(description="There are more sensors than one answer holds.")


_EXAMPLE = {"readings": [{"sensor": 1, "timestamp": 1664000000.123, "value": 21.0}], "truncated": False}


@router.get(
    "/latest",
    response_model=LatestModel,
    summary="The newest reading of one, several or all sensors",
    responses={
        200: {"content": {"application/json": {"example": _EXAMPLE}}},
        **problems.responses(
            _404="A sensor has no readings; `known` lists the sensors with the nearest numbers that have."
        ),
    },
)
async def latest(request: Request, wanted: Annotated[LatestParameters, Query()]) -> Response:
    """The newest reading of each sensor, by the sensor's time."""
    database: Database = request.app.state.database
    if not wanted.sensor:
        rows = await database.read(lambda connection: latest_of_all(connection, "temperature", SENSORS_MAX + 1))
        return _answer(rows[-SENSORS_MAX:], truncated=len(rows) > SENSORS_MAX)
    rows = await database.read(lambda connection: latest_of(connection, "temperature", wanted.sensor))
    unknown = sorted(set(wanted.sensor) - {sensor for sensor, _, _ in rows})
    if not unknown:
        return _answer(rows, truncated=False)
    return await unknown_sensor(database, unknown, request.query_params.getlist("sensor"))


async def unknown_sensor(database: Database, unknown: Sequence[int], given: Sequence[str]) -> Response:
    """The answer for sensors without readings; it lists the nearest ones that have. `given`: what was asked for."""
    names = {number_of(each): each for each in given}
    every = await database.read(lambda connection: latest_of_all(connection, "temperature", SENSORS_MAX))
    return problems.problem(
        404,
        "unknown_sensor",
        f"no readings of sensor {', '.join(names.get(sensor, str(sensor)) for sensor in unknown)}",
        sensors=unknown,
        known=nearest(unknown[0], (sensor for sensor, _, _ in every)),
    )


def nearest(sensor: int, known: Iterable[int]) -> list[int]:
    """The known sensors with the nearest numbers."""
    return sorted(heapq.nsmallest(NEAREST, known, key=lambda number: abs(number - sensor)))


def _answer(rows: Sequence[Row], *, truncated: bool) -> Response:
    observe_age("/v1/latest", rows)
    readings = [{"sensor": sensor, "timestamp": time, "value": value} for sensor, time, value in rows]
    body = msgspec.json.encode({"readings": readings, "truncated": truncated})
    return Response(body, media_type="application/json")
