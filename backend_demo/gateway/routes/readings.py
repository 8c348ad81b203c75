"""Readings of time ranges: /v1/readings."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from backend_demo.gateway.routes import answers, history
from backend_demo.gateway.routes.answers import PROBLEMS, BucketsModel, ReadingsModel
from backend_demo.gateway.routes.parameters import HistoryParameters

router = APIRouter(prefix="/v1", tags=["v1"], responses=PROBLEMS)


@router.get(
    "/readings",
    response_model=ReadingsModel | BucketsModel,
    summary="Readings of several sensors",
    responses=answers.history("readings"),
)
async def readings(request: Request, wanted: Annotated[HistoryParameters, Query()]) -> Response:
    """By sensor and time, as JSON, CSV, NDJSON, Parquet or an Arrow stream; in pages, or whole with `limit=all`.

    With `bucket`, a summary of each time bucket; empty buckets are left out. With `max_points`, the rows of each sensor
    that draw the same line (LTTB), including its first and last row; `sampled` gives the number of all rows.
    """
    return await history.answer(request, "temperature", "readings", wanted)
