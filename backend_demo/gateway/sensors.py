"""What is known of each sensor: /v1/sensors."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from backend_demo.domain.topics import SENSOR_MAX
from backend_demo.gateway import problems
from backend_demo.gateway.latest import unknown_sensor
from backend_demo.gateway.parameters import Parameters, SensorNumber
from backend_demo.storage import pages
from backend_demo.storage.pool import Database

router = APIRouter(
    prefix="/v1",
    tags=["v1"],
    responses=problems.responses(_422="A parameter is wrong.", _503="The database is away; try again."),
)


class SensorModel(BaseModel):
    """A sensor with readings."""

    sensor: int = Field(examples=[1])
    count: int = Field(examples=[3600], description="Readings.")
    first: float = Field(examples=[1664000000.123], description="Time of its first reading, epoch seconds.")
    last: float = Field(examples=[1664003600.123], description="Time of its newest reading, epoch seconds.")
    last_value: float = Field(examples=[21.0], description="Degrees Celsius.")
    last_average: float | None = Field(
        examples=[21.4], description="The average at that reading; it follows some milliseconds after it."
    )


class SensorsModel(BaseModel):
    """Sensors by number."""

    sensors: list[SensorModel]
    truncated: bool = Field(description="There are more sensors: ask again with `after` set to `next`.")
    next: int | None = Field(description="The number of the last one here, when there are more.", examples=[1000])


class SensorsParameters(Parameters):
    """A page of sensors."""

    after: Annotated[SensorNumber | None, Field(description="Only sensors above this number.")] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="Sensors of a page.")] = 100


@router.get("/sensors", response_model=SensorsModel, summary="The sensors, and what is known of each")
async def sensors(request: Request, wanted: Annotated[SensorsParameters, Query()]) -> Response:
    """Page by page, in the order of their numbers."""
    database: Database = request.app.state.database
    after = -1 if wanted.after is None else wanted.after

    numbers, more = await database.read(lambda connection: pages.sensors(connection, after, wanted.limit))
    found = await database.read(lambda connection: pages.summaries(connection, numbers))
    following = numbers[-1] if more else None
    body = msgspec.json.encode({"sensors": found, "truncated": more, "next": following})
    return Response(body, media_type="application/json")


@router.get(
    "/sensors/{sensor}",
    response_model=SensorModel,
    summary="What is known of a sensor",
    responses=problems.responses(_404="It has no readings; `known` names the nearest ones that have."),
)
async def sensor(request: Request, sensor: Annotated[int, Path(ge=0, le=SENSOR_MAX)]) -> Response:
    """From its first reading to its newest."""
    database: Database = request.app.state.database
    found = await database.read(lambda connection: pages.summaries(connection, [sensor]))
    if not found:
        return await unknown_sensor(database, [sensor])
    return Response(msgspec.json.encode(found[0]), media_type="application/json")
