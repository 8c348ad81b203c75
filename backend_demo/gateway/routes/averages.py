"""Averages of time ranges: /v1/averages."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from backend_demo.gateway.routes import answers, history
from backend_demo.gateway.routes.answers import PROBLEMS, AveragesModel, BucketsModel
from backend_demo.gateway.routes.parameters import HistoryParameters

router = APIRouter(prefix="/v1", tags=["v1"], responses=PROBLEMS)


@router.get(
    "/averages",
    response_model=AveragesModel | BucketsModel,
    summary="Averages of several sensors",
    responses=answers.history("averages"),
)
async def averages(request: Request, wanted: Annotated[HistoryParameters, Query()]) -> Response:
    """For each reading, the mean of its sensor's ten newest readings up to its time. Otherwise like /v1/readings."""
    return await history.answer(request, "average", "averages", wanted)
