"""Readings and averages of ranges of time: /v1/readings and /v1/averages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend_demo.gateway import formats, problems
from backend_demo.gateway.latest import ReadingModel
from backend_demo.gateway.measure import observe_age
from backend_demo.gateway.parameters import PAGE, HistoryParameters
from backend_demo.gateway.streaming import RowsResponse
from backend_demo.storage import buckets, pages
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


class PageModel(BaseModel):
    """Rows by sensor and time."""

    truncated: bool = Field(description="There are more rows: ask again with `cursor` set to `next`.")
    next: str | None = Field(description="Where the next page begins.", examples=["WzEsMTY2NDAwMDAwMC4xMjMsMTJd"])


class ReadingsModel(PageModel):
    readings: list[ReadingModel]


class AveragesModel(PageModel):
    averages: list[ReadingModel]


class BucketModel(BaseModel):
    """A sensor's readings or averages of a bucket: those of `agg`."""

    sensor: int = Field(examples=[1])
    start: float = Field(alias="from", examples=[1664000000.0], description="Where it begins, epoch seconds.")
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    count: int | None = None
    first: float | None = None
    last: float | None = None


class BucketsModel(PageModel):
    buckets: list[BucketModel]


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


@router.get(
    "/readings",
    response_model=ReadingsModel | BucketsModel,
    summary="Readings of several sensors",
    responses=_OTHER_FORMS,
)
async def readings(request: Request, wanted: Annotated[HistoryParameters, Query()]) -> Response:
    """By sensor and time, as JSON, CSV or NDJSON; page by page, or with `limit=all` streamed whole.

    With `bucket` what came in each bucket of time, summed up; buckets without any are left out.
    """
    return await _answer(request, "temperature", "readings", wanted)


@router.get(
    "/averages",
    response_model=AveragesModel | BucketsModel,
    summary="Averages of several sensors",
    responses=_OTHER_FORMS,
)
async def averages(request: Request, wanted: Annotated[HistoryParameters, Query()]) -> Response:
    """For each reading the mean of its sensor's ten newest readings at its time; as /v1/readings."""
    return await _answer(request, "average", "averages", wanted)


async def _answer(request: Request, series: Series, name: str, wanted: HistoryParameters) -> Response:
    selection = wanted.selection(series)
    chosen = wanted.format or formats.accepted(request.headers.get("accept", ""))
    if chosen is None:
        raise HTTPException(406, f"the forms are {', '.join(formats.MEDIA_TYPES)}")
    if wanted.bucket is not None:
        return await _buckets(request, selection, chosen, wanted)
    form = formats.form(chosen, name, ("sensor", "timestamp", "value"))
    limit = wanted.limit or (PAGE if chosen == "json" else "all")
    database: Database = request.app.state.database
    route = f"/v1/{name}"
    if limit == "all":

        def blocks(connection: Any) -> AsyncGenerator[list[pages.Row], None]:
            return pages.blocks(connection, selection)

        return RowsResponse(database, blocks, form, route=route)
    rows, more = await database.read(lambda connection: pages.page(connection, selection, limit))
    observe_age(route, rows)
    return _page(request, form, rows, wanted.next(selection, rows[-1][:2]) if more else None)


async def _buckets(
    request: Request, selection: pages.Selection, chosen: formats.Name, wanted: HistoryParameters
) -> Response:
    if wanted.limit == "all":
        raise RequestValidationError(
            [{"type": "limit", "loc": ("query", "limit"), "msg": "all buckets come as pages: give a number"}]
        )
    limit = wanted.limit or PAGE
    size, aggregates = buckets.bucket(wanted.bucket or ""), wanted.aggregates
    database: Database = request.app.state.database
    rows, more = await database.read(
        lambda connection: buckets.page(connection, selection, size, aggregates, wanted.tz, limit)
    )
    form = formats.form(chosen, "buckets", ("sensor", "from", *aggregates))
    return _page(request, form, rows, wanted.next(selection, rows[-1][:2]) if more else None)


def _page(request: Request, form: formats.Form, rows: Sequence[Any], following: str | None) -> Response:
    body = form.head + form.encode(rows)
    if following is None:
        return Response(body + form.tail, media_type=form.media_type)
    link = f'<{request.url.include_query_params(cursor=following)}>; rel="next"'
    tail = formats.end_of_json(following) if form.tail else ""
    return Response(body + tail, media_type=form.media_type, headers={"Link": link})
