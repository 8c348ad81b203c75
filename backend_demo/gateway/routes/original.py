"""The original's three routes, with its parameters and its answers, in which every value is a string."""

from __future__ import annotations

import functools
import re
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from backend_demo import metrics
from backend_demo.gateway import problems
from backend_demo.gateway.edge.measure import observe_age
from backend_demo.gateway.routes.parameters import RangeParameters, SensorParameters, each_once
from backend_demo.gateway.rows.formats import LineEncoder, TextFormat
from backend_demo.gateway.rows.response import RowsResponse
from backend_demo.storage import ranges
from backend_demo.storage.latest import latest_with_id
from backend_demo.storage.pool import Database, DatabaseUnavailable
from backend_demo.storage.selection import Selection, Series

LATEST = "/temperature_latest"

router = APIRouter(
    tags=["original"],
    dependencies=[Depends(each_once)],
    responses=problems.responses(_422="A parameter is invalid.", _503="The database is unavailable; try again."),
)


class StringRow(BaseModel):
    """A row in the original's form."""

    id: str
    timestamp: str
    sensor_num: str
    value: str

    model_config = {
        "json_schema_extra": {
            "examples": [{"id": "42", "timestamp": "1664000000.123", "sensor_num": "1", "value": "21.0"}]
        }
    }


FORM = TextFormat(
    "application/json", '{"id":"%r","timestamp":"%r","sensor_num":"%r","value":"%r"}', head="[", between=",", tail="]"
)

_COLUMNS: tuple[ranges.TableColumn, ...] = ("id", "timestamp", "sensor_num", "value")
_TIMESTAMP = re.compile(rb'"timestamp":"([^"]+)"')


@router.get("/temperature", response_model=list[StringRow], summary="Readings of one sensor, newest first")
async def temperature(request: Request, wanted: Annotated[RangeParameters, Query()]) -> Response:
    """All readings of the sensor from `timestamp_start` to `timestamp_end` inclusive; empty for an unknown sensor."""
    metrics.range_requests.inc()
    return _range(request, "temperature", wanted)


@router.get("/average", response_model=list[StringRow], summary="Averages of one sensor, newest first")
async def average(request: Request, wanted: Annotated[RangeParameters, Query()]) -> Response:
    """For each reading in the range, the mean of the sensor's ten newest readings up to its time."""
    metrics.average_requests.inc()
    return _range(request, "average", wanted)


def _range(request: Request, series: Series, wanted: RangeParameters) -> Response:
    selection = Selection(series, (wanted.sensor_num,), wanted.timestamp_start, wanted.timestamp_end, descending=True)
    route = f"/{series}"

    def observe(data: bytes) -> None:
        if newest := _TIMESTAMP.search(data):
            observe_age(route, [(wanted.sensor_num, float(newest[1]))])

    return RowsResponse(
        request.app.state.database,
        functools.partial(ranges.copy_lines, selection, _COLUMNS, FORM.literals),
        functools.partial(LineEncoder, FORM),
        media_type=FORM.media_type,
        route=route,
        on_first=observe,
    )


@router.get(LATEST, response_model=list[StringRow], summary="The newest reading of one sensor")
async def temperature_latest(request: Request, wanted: Annotated[SensorParameters, Query()]) -> Response:
    """A list with the sensor's newest reading, by the sensor's time; empty for an unknown sensor."""
    return await newest(request.app.state.database, wanted.sensor_num)


async def newest(database: Database, sensor: int) -> Response:
    """Answers /temperature_latest. Raises DatabaseUnavailable."""
    metrics.latest_requests.inc()
    row = await database.read(lambda connection: latest_with_id(connection, sensor))
    if row is not None:
        metrics.latest_age.observe(max(0.0, time.time() - row[1]))
        observe_age(LATEST, [row])
    return Response(FORM.document([row] if row else []), media_type=FORM.media_type)


#: A sensor number below 10^18, which is in range, and no other parameter.
_ONE_SENSOR = re.compile(rb"sensor_num=([0-9]{1,18})").fullmatch


class Direct:
    """Middleware that answers /temperature_latest itself if the request is valid at first sight.

    Dashboards repeat this request all day, and FastAPI's routing, dependencies and exit stacks are more than half the
    cost of a request that reads one row. Every other request goes through FastAPI; both ways call the same function.
    """

    def __init__(self, app: ASGIApp, route: BaseRoute) -> None:
        """`route`: FastAPI's route for this path, for the metrics."""
        self._app = app
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != LATEST or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        match = _ONE_SENSOR(scope["query_string"])
        if match is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        try:
            response = await newest(scope["app"].state.database, int(match[1]))
        except DatabaseUnavailable as problem:
            response = problems.unavailable(problem)
        await response(scope, receive, send)
