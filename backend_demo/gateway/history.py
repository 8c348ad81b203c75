"""Readings and averages of ranges of time: /v1/readings and /v1/averages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend_demo.gateway import cursor, formats, problems
from backend_demo.gateway.measure import observe_age
from backend_demo.gateway.parameters import PAGE, HistoryParameters
from backend_demo.gateway.streaming import RowsResponse
from backend_demo.storage import pages
from backend_demo.storage.pool import Database
from backend_demo.storage.read import Series

router = APIRouter(
    prefix="/v1",
    tags=["v1"],
    responses=problems.responses(
        _406="None of the forms that `Accept` names is here.",
        _422="A parameter is wrong.",
        _503="The database is away; try again.",
    ),
)


class RowModel(BaseModel):
    """A reading, or an average at a reading."""

    sensor: int = Field(examples=[1])
    timestamp: float = Field(examples=[1664000000.123], description="The sensor's time, epoch seconds.")
    value: float = Field(examples=[21.0], description="Degrees Celsius.")


class PageModel(BaseModel):
    """Rows by sensor and time."""

    truncated: bool = Field(description="There are more rows: ask again with `cursor` set to `next`.")
    next: str | None = Field(description="Where the next page begins.", examples=["WzEsMTY2NDAwMDAwMC4xMjMsMTJd"])


class ReadingsModel(PageModel):
    readings: list[RowModel]


class AveragesModel(PageModel):
    averages: list[RowModel]


_OTHER_FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "sensor,timestamp,value\r\n1,1664000000.123,21.0\r\n",
            },
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"sensor":1,"timestamp":1664000000.123,"value":21.0}\n',
            },
        },
        "headers": {"Link": {"schema": {"type": "string"}, "description": 'The next page, as `rel="next"`.'}},
    }
}


@router.get("/readings", response_model=ReadingsModel, summary="Readings of several sensors", responses=_OTHER_FORMS)
async def readings(request: Request, wanted: Annotated[HistoryParameters, Query()]) -> Response:
    """By sensor and time, as JSON, CSV or NDJSON; page by page, or with `limit=all` streamed whole."""
    return await _answer(request, "temperature", "readings", wanted)


@router.get("/averages", response_model=AveragesModel, summary="Averages of several sensors", responses=_OTHER_FORMS)
async def averages(request: Request, wanted: Annotated[HistoryParameters, Query()]) -> Response:
    """For each reading the mean of its sensor's ten newest readings at its time; as /v1/readings."""
    return await _answer(request, "average", "averages", wanted)


async def _answer(request: Request, series: Series, name: str, wanted: HistoryParameters) -> Response:
    selection = wanted.selection(series)
    chosen = wanted.format or formats.accepted(request.headers.get("accept", ""))
    if chosen is None:
        raise HTTPException(406, f"the forms are {', '.join(formats.MEDIA_TYPES)}")
    form = formats.json_form(name) if chosen == "json" else formats.CSV if chosen == "csv" else formats.NDJSON
    limit = wanted.limit or (PAGE if chosen == "json" else "all")
    database: Database = request.app.state.database
    route = f"/v1/{name}"
    if limit == "all":

        def blocks(connection: Any) -> AsyncGenerator[list[pages.Row], None]:
            return pages.blocks(connection, selection)

        return RowsResponse(database, blocks, form, route=route)
    rows, more = await database.read(lambda connection: pages.page(connection, selection, limit))
    observe_age(route, rows)
    body = form.head + form.encode(rows)
    if not more:
        return Response(body + form.tail, media_type=form.media_type)
    following = cursor.write((rows[-1][0], rows[-1][1]), replace(selection, after=None))
    link = f'<{request.url.include_query_params(cursor=following)}>; rel="next"'
    tail = f'],"truncated":true,"next":"{following}"}}' if chosen == "json" else ""
    return Response(body + tail, media_type=form.media_type, headers={"Link": link})
