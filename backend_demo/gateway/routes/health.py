"""Liveness and readiness: /healthz and /readyz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from backend_demo.described import described
from backend_demo.gateway.problems import RETRY_AFTER_S
from backend_demo.gateway.readiness import Readiness, Ready

router = APIRouter(tags=["health"])

_NOT_READY = {
    "status": "not ready",
    "missing": [{"name": "postgres", "reason": "it refuses connections", "since": "2026-11-24T10:00:00.000Z"}],
}


def _example(document: object) -> dict[str, Any]:
    return {"content": {"application/json": {"example": document}}}


@described
@dataclass(frozen=True)
class Alive:
    """The process is alive."""

    status: str = "alive"


@router.get(
    "/healthz",
    response_model=Alive,
    summary="Is the process alive?",
    responses={200: _example({"status": "alive"})},
)
async def healthz() -> Response:
    """Checks nothing else: 200 as long as the process answers."""
    return Response(msgspec.json.encode(Alive()), media_type="application/json")


@router.get(
    "/readyz",
    response_model=Ready,
    summary="Can the gateway answer requests?",
    responses={
        200: _example({"status": "ready", "missing": []}),
        503: {"model": Ready, "description": "Not ready: what is missing, and since when.", **_example(_NOT_READY)},
    },
)
async def readyz(request: Request) -> Response:
    """Reads from the tables to find out."""
    readiness: Readiness = request.app.state.readiness
    found = await readiness.check()
    body = msgspec.json.encode(found)
    if found.missing:
        return Response(body, 503, {"Retry-After": str(RETRY_AFTER_S)}, "application/json")
    return Response(body, media_type="application/json")
