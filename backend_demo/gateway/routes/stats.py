"""The state of the pipeline right now: /v1/stats."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from backend_demo.gateway import problems
from backend_demo.gateway.routes.parameters import Parameters
from backend_demo.gateway.sampler import StatsSampler
from backend_demo.operations.observe.view import Overview

router = APIRouter(
    prefix="/v1",
    tags=["v1"],
    responses=problems.responses(_422="A parameter is invalid.", _503="The services do not respond; try again."),
)


_LATENCY = {"p50_s": 0.004, "p95_s": 0.009, "p99_s": 0.018}
_EXAMPLE = {
    "healthy": True,
    "time": 1664000000.123,
    "interval_s": 2.0,
    "services": [
        {
            "name": "processing-2",
            "state": "ready",
            "pid": None,
            "restarts": None,
            "uptime_s": 3600.5,
            "rss_bytes": 61_000_000,
            "error": None,
            "cpu_cores": 0.05,
            "records_per_s": 100.0,
            "lag": {"records": 12, "seconds": 0.1},
            "latency": _LATENCY,
            "dead_letters": 3,
            "dead_letters_per_s": 0.0,
        }
    ],
    "hops": [{"name": "table temperature", "count": 360_000, "per_s": 100.0}],
    "end_to_end": {"temperature": _LATENCY, "average": _LATENCY},
    "dead_letters": [{"service": "processing", "reason": "range", "count": 3, "per_s": 0.0}],
    "dead_letters_total": 63,
    "counts": {
        "sensors_active": 100,
        "sensors_silent": 2,
        "mqtt_in_flight": 0,
        "mqtt_redelivered": 0,
        "duplicates": 0,
        "late_readings": 0,
        "repairs": 0,
        "requests_per_s": 4.5,
        "request_errors_per_s": 0.0,
        "streams": 1,
    },
}


@router.get(
    "/stats",
    response_model=Overview,
    summary="Services, rates, lag, latencies and dead letters",
    responses={200: {"content": {"application/json": {"example": _EXAMPLE}}}},
)
async def stats(request: Request, wanted: Annotated[Parameters, Query()]) -> Response:
    """From the services' own metrics, at most a second old. A service counts from its start."""
    sampler: StatsSampler = request.app.state.sampler
    try:
        document = await sampler.document()
    except TimeoutError:
        retry = {"Retry-After": str(problems.RETRY_AFTER_S)}
        return problems.problem(503, "too_slow", "the services' metrics are not available", retry)
    return Response(document, media_type="application/json")
