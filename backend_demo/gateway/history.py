"""Readings and averages of ranges of time: /v1/readings and /v1/averages."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend_demo.domain.bucket import parse_bucket
from backend_demo.gateway import caching, columnar, formats, problems, sampling, whole
from backend_demo.gateway.history_models import ANSWERS, AveragesModel, BucketsModel, ReadingsModel
from backend_demo.gateway.measure import observe_age
from backend_demo.gateway.parameters import PAGE, HistoryParameters
from backend_demo.gateway.streaming import ClientGone, Encoder, Read, RowsResponse, while_there
from backend_demo.storage import buckets, pages, ranges
from backend_demo.storage.pool import Database
from backend_demo.storage.read import Series
from backend_demo.storage.selection import Selection

router = APIRouter(
    prefix="/v1",
    tags=["v1"],
    responses=problems.responses(
        _406="None of the forms that `Accept` names is here.",
        _422="A parameter is wrong.",
        _503="The database is away; try again.",
        _504="It takes too long; ask for less.",
    ),
)

_COLUMNS: tuple[ranges.Column, ...] = ("sensor_num", "timestamp", "value")


@router.get(
    "/readings",
    response_model=ReadingsModel | BucketsModel,
    summary="Readings of several sensors",
    responses=ANSWERS,
)
async def readings(request: Request, wanted: Annotated[HistoryParameters, Query()]) -> Response:
    """By sensor and time, as JSON, CSV, NDJSON, Parquet or an Arrow stream; page by page, or whole with `limit=all`.

    With `bucket` what came in each bucket of time, summed up; buckets without any are left out. With `max_points` of
    each sensor the rows that draw the same line (LTTB), its first and last row among them; `sampled` tells of how many.
    """
    return await _answer(request, "temperature", "readings", wanted)


@router.get(
    "/averages",
    response_model=AveragesModel | BucketsModel,
    summary="Averages of several sensors",
    responses=ANSWERS,
)
async def averages(request: Request, wanted: Annotated[HistoryParameters, Query()]) -> Response:
    """For each reading the mean of its sensor's ten newest readings at its time; as /v1/readings."""
    return await _answer(request, "average", "averages", wanted)


async def _answer(request: Request, series: Series, name: str, wanted: HistoryParameters) -> Response:
    selection = wanted.selection(series)
    form = wanted.format or formats.accepted(request.headers.get("accept", ""))
    if form is None:
        raise HTTPException(406, f"the forms are {', '.join(formats.MEDIA_TYPES)}")
    limit = wanted.limit or (PAGE if form == "json" else "all")
    if wanted.bucket is None and wanted.max_points is None and limit == "all":
        return _all(request, selection, form, name)
    try:
        table = await while_there(request.receive, _table(request.app.state.database, selection, name, wanted))
    except ClientGone:
        return Response(None, ClientGone.status)
    return await whole.answer(request, table, form, over=_is_over(selection))


async def _table(database: Database, selection: Selection, name: str, wanted: HistoryParameters) -> whole.Table:
    if wanted.bucket is not None:
        return await _buckets(database, selection, wanted)
    if wanted.max_points is not None:
        return await _sampled(database, selection, name, wanted.max_points)
    return await _page(database, selection, name, wanted)


def _is_over(selection: Selection) -> bool:
    return selection.end <= time.time()


def _all(request: Request, selection: Selection, name: formats.Name, array: str) -> Response:
    """Every row, streamed."""

    async def unchanged(connection: Any) -> Response | None:
        checksum = await ranges.checksum(connection, selection) if _is_over(selection) else None
        if checksum is None:
            return None
        etag = caching.etag(selection, name, checksum)
        response.headers.update(caching.closed(etag))
        matches = caching.matches(request.headers.get("if-none-match"), etag)
        return Response(None, 304, caching.closed(etag)) if matches else None

    encoder: Callable[[], Encoder]
    if formats.is_columnar(name):
        media_type, encoder = columnar.MEDIA_TYPES[name], functools.partial(columnar.Columnar, name)
        read: Read = functools.partial(ranges.copy_binary, selection)
    else:
        form = formats.form(name, array, columnar.COLUMNS)
        media_type, encoder = form.media_type, functools.partial(formats.Lines, form)
        read = functools.partial(ranges.copy_lines, selection, _COLUMNS, form.literals)
    response = RowsResponse(
        request.app.state.database,
        read,
        encoder,
        media_type=media_type,
        route=f"/v1/{array}",
        headers=caching.OPEN,
        instead=unchanged,
    )
    return response


async def _page(database: Database, selection: Selection, array: str, wanted: HistoryParameters) -> whole.Table:
    limit = wanted.limit if isinstance(wanted.limit, int) else PAGE
    rows, more = await database.read(lambda connection: pages.page(connection, selection, limit))
    observe_age(f"/v1/{array}", rows)
    following = wanted.next(selection, rows[-1][:2]) if more else None
    return whole.Table(array, columnar.COLUMNS, rows, following)


async def _buckets(database: Database, selection: Selection, wanted: HistoryParameters) -> whole.Table:
    if wanted.limit == "all":
        raise _wrong("limit", "all buckets come as pages: give a number")
    limit = wanted.limit or PAGE
    size, aggregates = parse_bucket(wanted.bucket or ""), wanted.aggregates
    try:
        rows, more = await database.read(
            lambda connection: buckets.page(connection, selection, size, aggregates, wanted.tz, limit)
        )
    except buckets.MeanTooLarge as problem:
        raise _wrong("agg", "a mean is beyond what a number holds: leave it out") from problem
    following = wanted.next(selection, rows[-1][:2]) if more else None
    return whole.Table("buckets", ("sensor", "from", *aggregates), rows, following)


async def _sampled(database: Database, selection: Selection, array: str, max_points: int) -> whole.Table:
    try:
        rows, of = await sampling.read(database, selection, max_points)
    except sampling.TooMuch as problem:
        reason = f"{problem}: ask for a shorter range, fewer sensors, or buckets"
        raise _wrong("max_points", reason) from problem
    told: dict[str, str | int] = {"method": "lttb", "max_points": max_points, "points": len(rows), "of": of}
    return whole.Table(array, columnar.COLUMNS, rows, sampled=told)


def _wrong(field: str, reason: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("query", field), "msg": reason}])
