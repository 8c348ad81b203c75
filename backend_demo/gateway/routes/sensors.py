"""Summaries of the sensors: /v1/sensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from backend_demo.described import described
from backend_demo.gateway import problems
from backend_demo.gateway.routes.latest import unknown_sensor
from backend_demo.gateway.routes.parameters import NamedSensor, Parameters, SensorNumber
from backend_demo.storage import pages
from backend_demo.storage.pages import SensorSummary
from backend_demo.storage.pool import Database
from backend_demo.storage.sensor_names import names_page

router = APIRouter(
    prefix="/v1",
    tags=["v1"],
    responses=problems.responses(_422="A parameter is invalid.", _503="The database is unavailable; try again."),
)


@described
@dataclass(frozen=True)
class SensorPage:
    """A page of sensors, by number."""

    sensors: list[SensorSummary]
    truncated: bool
    """There are more sensors: repeat the request with `after` set to `next`."""
    next: int | None
    """The number of the last sensor on this page; null: there are no more."""


_EXAMPLE = {
    "sensor": 1,
    "count": 3600,
    "first": 1664000000.123,
    "last": 1664003600.123,
    "last_value": 21.0,
    "last_average": 21.4,
    "name": None,
}


def _example(document: object) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": document}}}}


@described
@dataclass(frozen=True)
class SensorNaming:
    """A sensor's number and name."""

    sensor: int
    """The number that stands for the name, wherever a number is needed."""
    name: str


class SensorsParameters(Parameters):
    """A page of sensors."""

    after: Annotated[SensorNumber | None, Field(description="Only sensors with higher numbers.")] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="SensorPage per page.")] = 100


@router.get(
    "/sensors",
    response_model=SensorPage,
    summary="Summaries of the sensors",
    responses=_example({"sensors": [_EXAMPLE], "truncated": True, "next": 1}),
)
async def sensors(request: Request, wanted: Annotated[SensorsParameters, Query()]) -> Response:
    """In pages, by sensor number."""
    database: Database = request.app.state.database
    after = -1 if wanted.after is None else wanted.after

    numbers, more = await database.read(lambda connection: pages.sensors(connection, after, wanted.limit))
    found = await database.read(lambda connection: pages.summaries(connection, numbers))
    following = numbers[-1] if more else None
    body = msgspec.json.encode(SensorPage(found, truncated=more, next=following))
    return Response(body, media_type="application/json")


@described
@dataclass(frozen=True)
class NamesPage:
    """A page of names, by the sensors' numbers."""

    names: list[SensorNaming]
    next: int | None
    """The number of the last sensor on this page, for `after`; null: there are no more."""


class NamesParameters(Parameters):
    """A page of names."""

    after: Annotated[SensorNumber | None, Field(description="Only sensors with higher numbers.")] = None
    limit: Annotated[int, Field(ge=1, le=10_000, description="Names per page.")] = 1000


@router.get(
    "/sensor-names",
    response_model=NamesPage,
    summary="The names of the sensors",
    responses=_example({"names": [{"sensor": 7613755981440579, "name": "kitchen"}], "next": None}),
)
async def sensor_names(request: Request, wanted: Annotated[NamesParameters, Query()]) -> Response:
    """Of those that have a name instead of a number; wherever a sensor is asked for, either can be given."""
    database: Database = request.app.state.database
    after = -1 if wanted.after is None else wanted.after
    found, more = await database.read(lambda connection: names_page(connection, after, wanted.limit))
    body = msgspec.json.encode({"names": found, "next": found[-1].sensor if more else None})
    return Response(body, media_type="application/json")


@router.get(
    "/sensors/{sensor}",
    response_model=SensorSummary,
    summary="SensorSummary of one sensor",
    responses={
        **_example(_EXAMPLE),
        **problems.responses(
            _404="The sensor has no readings; `known` lists the sensors with the nearest numbers that have."
        ),
    },
)
async def sensor(request: Request, sensor: Annotated[NamedSensor, Path(description="Number or name.")]) -> Response:
    """From its first reading to its newest."""
    database: Database = request.app.state.database
    found = await database.read(lambda connection: pages.summaries(connection, [sensor]))
    if not found:
        return await unknown_sensor(database, [sensor], [request.path_params["sensor"]])
    return Response(msgspec.json.encode(found[0]), media_type="application/json")
