"""How /v1/readings and /v1/averages answer: streamed whole, page by page, in buckets or down-sampled."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend_demo.domain.bucket import parse_bucket
from backend_demo.gateway.disconnect import ClientGone, while_connected
from backend_demo.gateway.edge.measure import observe_age
from backend_demo.gateway.routes.parameters import PAGE, HistoryParameters
from backend_demo.gateway.rows import columnar, downsample, etags, formats
from backend_demo.gateway.rows.page import Page, Sampled, page_response
from backend_demo.gateway.rows.response import Encoder, Read, RowsResponse
from backend_demo.storage import buckets, pages, ranges
from backend_demo.storage.pool import Database
from backend_demo.storage.selection import Selection, Series

_COLUMNS: tuple[ranges.TableColumn, ...] = ("sensor_num", "timestamp", "value")


async def answer(request: Request, series: Series, name: str, wanted: HistoryParameters) -> Response:
    """The rows of a table, which JSON calls `name`. Raises RequestValidationError, DatabaseUnavailable."""
    selection = wanted.selection(series)
    form = wanted.format or formats.accepted(request.headers.get("accept", ""))
    if form is None:
        raise HTTPException(406, f"the available formats are {', '.join(formats.MEDIA_TYPES)}")
    limit = wanted.limit or (PAGE if form == "json" else "all")
    if wanted.bucket is None and wanted.max_points is None and limit == "all":
        return _all(request, selection, form, name)
    try:
        page = await while_connected(request.receive, _selected(request.app.state.database, selection, name, wanted))
    except ClientGone:
        return Response(None, ClientGone.status)
    return await page_response(request, page, form, over=_is_over(selection))


async def _selected(database: Database, selection: Selection, name: str, wanted: HistoryParameters) -> Page:
    if wanted.bucket is not None:
        return await _buckets(database, selection, wanted)
    if wanted.max_points is not None:
        return await _sampled(database, selection, name, wanted.max_points)
    return await _page(database, selection, name, wanted)


def _is_over(selection: Selection) -> bool:
    return selection.end <= time.time()


def _all(request: Request, selection: Selection, name: formats.FormatName, array: str) -> Response:
    """Streams every row."""

    async def unchanged(connection: Any) -> Response | None:
        checksum = await ranges.checksum(connection, selection) if _is_over(selection) else None
        if checksum is None:
            return None
        etag = etags.etag(selection, name, checksum)
        response.headers.update(etags.closed(etag))
        matches = etags.matches(request.headers.get("if-none-match"), etag)
        return Response(None, 304, etags.closed(etag)) if matches else None

    encoder: Callable[[], Encoder]
    if formats.is_columnar(name):
        media_type, encoder = columnar.MEDIA_TYPES[name], functools.partial(columnar.ColumnarEncoder, name)
        read: Read = functools.partial(ranges.copy_binary, selection)
    else:
        form = formats.form(name, array, columnar.COLUMNS)
        media_type, encoder = form.media_type, functools.partial(formats.LineEncoder, form)
        read = functools.partial(ranges.copy_lines, selection, _COLUMNS, form.literals)
    response = RowsResponse(
        request.app.state.database,
        read,
        encoder,
        media_type=media_type,
        route=f"/v1/{array}",
        headers=etags.OPEN,
        instead=unchanged,
    )
    return response


async def _page(database: Database, selection: Selection, array: str, wanted: HistoryParameters) -> Page:
    limit = wanted.limit if isinstance(wanted.limit, int) else PAGE
    rows, more = await database.read(lambda connection: pages.page(connection, selection, limit))
    observe_age(f"/v1/{array}", rows)
    following = wanted.next(selection, rows[-1][:2]) if more else None
    return Page(array, columnar.COLUMNS, rows, following)


async def _buckets(database: Database, selection: Selection, wanted: HistoryParameters) -> Page:
    if wanted.limit == "all":
        raise _wrong("limit", "buckets come in pages: give a number")
    limit = wanted.limit or PAGE
    size, aggregates = parse_bucket(wanted.bucket or ""), wanted.aggregates
    try:
        rows, more = await database.read(
            lambda connection: buckets.page(connection, selection, size, aggregates, wanted.tz, limit)
        )
    except buckets.MeanTooLarge as problem:
        raise _wrong("agg", "a mean is out of range: leave out mean") from problem
    following = wanted.next(selection, rows[-1][:2]) if more else None
    return Page("buckets", ("sensor", "from", *aggregates), rows, following)


async def _sampled(database: Database, selection: Selection, array: str, max_points: int) -> Page:
    try:
        rows, of = await downsample.read(database, selection, max_points)
    except downsample.TooMuch as problem:
        reason = f"{problem}: request a shorter range, fewer sensors, or buckets"
        raise _wrong("max_points", reason) from problem
    sampled = Sampled("lttb", max_points, points=len(rows), of=of)
    return Page(array, columnar.COLUMNS, rows, sampled=sampled)


def _wrong(field: str, reason: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("query", field), "msg": reason}])
