"""The original's three routes: its parameters, its answers, every value a string."""

from __future__ import annotations

import functools
import re
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from backend_demo import metrics
from backend_demo.gateway import problems
from backend_demo.gateway.formats import Form, Lines
from backend_demo.gateway.measure import observe_age
from backend_demo.gateway.parameters import RangeParameters, SensorParameters, each_once
from backend_demo.gateway.streaming import RowsResponse
from backend_demo.storage import ranges, read
from backend_demo.storage.pool import Database
from backend_demo.storage.selection import Selection

LATEST = "/temperature_latest"

router = APIRouter(
    tags=["original"],
    dependencies=[Depends(each_once)],
    responses=problems.responses(_422="A parameter is wrong.", _503="The database is away; try again."),
)


class StringRow(BaseModel):
    """A row as the original gives it."""

    id: str
    timestamp: str
    sensor_num: str
    value: str

    model_config = {
        "json_schema_extra": {
            "examples": [{"id": "42", "timestamp": "1664000000.123", "sensor_num": "1", "value": "21.0"}]
        }
    }


FORM = Form(
    "application/json", '{"id":"%r","timestamp":"%r","sensor_num":"%r","value":"%r"}', head="[", between=",", tail="]"
)

_COLUMNS: tuple[ranges.Column, ...] = ("id", "timestamp", "sensor_num", "value")
_TIMESTAMP = re.compile(rb'"timestamp":"([^"]+)"')


@router.get("/temperature", response_model=list[StringRow], summary="Readings of one sensor, newest first")
async def temperature(request: Request, wanted: Annotated[RangeParameters, Query()]) -> Response:
    """All readings of the sensor from `timestamp_start` to `timestamp_end`, both included; none for an unknown one."""
    metrics.range_requests.inc()
    return _range(request, "temperature", wanted)


@router.get("/average", response_model=list[StringRow], summary="Averages of one sensor, newest first")
async def average(request: Request, wanted: Annotated[RangeParameters, Query()]) -> Response:
    """For each reading in the range, the mean of the sensor's ten newest readings at its time."""
    metrics.average_requests.inc()
    return _range(request, "average", wanted)


def _range(request: Request, series: read.Series, wanted: RangeParameters) -> Response:
    selection = Selection(series, (wanted.sensor_num,), wanted.timestamp_start, wanted.timestamp_end, descending=True)
    route = f"/{series}"

    def observe(data: bytes) -> None:
        if newest := _TIMESTAMP.search(data):
            observe_age(route, [(wanted.sensor_num, float(newest[1]))])

    return RowsResponse(
        request.app.state.database,
        functools.partial(ranges.copy_lines, selection, _COLUMNS, FORM.literals),
        functools.partial(Lines, FORM),
        media_type=FORM.media_type,
        route=route,
        on_first=observe,
    )


@router.get(LATEST, response_model=list[StringRow], summary="The newest reading of one sensor")
async def temperature_latest(request: Request, wanted: Annotated[SensorParameters, Query()]) -> Response:
    """A list of the sensor's newest reading, by the sensor's time; empty for an unknown sensor."""
    return await newest(request.app.state.database, wanted.sensor_num)


async def newest(database: Database, sensor: int) -> Response:
    """The answer of /temperature_latest. Raises DatabaseUnavailable."""
    metrics.latest_requests.inc()
    row = await database.read(lambda connection: read.latest(connection, "temperature", sensor))
    if row is not None:
        metrics.latest_age.observe(max(0.0, time.time() - row[1]))
        observe_age(LATEST, [row])
    return Response(FORM.document([row] if row else []), media_type=FORM.media_type)
