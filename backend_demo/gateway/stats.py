"""How the pipeline does, at this moment: /v1/stats."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from backend_demo.gateway import problems
from backend_demo.gateway.parameters import Parameters
from backend_demo.gateway.sampler import Sampler

router = APIRouter(
    prefix="/v1",
    tags=["v1"],
    responses=problems.responses(_422="A parameter is wrong.", _503="The services hang; try again."),
)


class LagModel(BaseModel):
    """Records that wait."""

    records: int = Field(examples=[12])
    seconds: float = Field(examples=[0.1], description="How long the oldest one has waited.")


class LatencyModel(BaseModel):
    """Of what passed in `interval_s`, seconds; null: nothing did."""

    p50_s: float | None = Field(examples=[0.004])
    p95_s: float | None = Field(examples=[0.009])
    p99_s: float | None = Field(examples=[0.018])


class ServiceModel(BaseModel):
    """A copy of a service, or a server. What only the stack knows is null, as is what a server does not tell."""

    name: str = Field(examples=["processing-2"])
    state: str = Field(examples=["ready"], description="`ready`, `starting`, `unhealthy`, or `down`: no answer.")
    pid: int | None = Field(examples=[None])
    restarts: int | None = Field(examples=[None])
    uptime_s: float | None = Field(examples=[3600.5])
    rss_bytes: int | None = Field(examples=[61_000_000])
    error: str | None = Field(examples=[None])
    cpu_cores: float | None = Field(examples=[0.05])
    records_per_s: float | None = Field(examples=[100.0], description="Of the gateway, requests.")
    lag: LagModel | None
    latency: LatencyModel = Field(
        description="From a record's arrival in the input topic until its outcome is durable; of the gateway, of a "
        "request."
    )
    dead_letters: int | None = Field(examples=[0], description="Since it started.")
    dead_letters_per_s: float | None = Field(examples=[0.0])


class HopModel(BaseModel):
    """A place that readings pass; all copies together."""

    name: str = Field(examples=["table temperature"])
    count: int | None = Field(examples=[360_000], description="Since the services started.")
    per_s: float | None = Field(examples=[100.0])


class RefusedModel(BaseModel):
    """Records that a service refused for one reason, since it started."""

    service: str = Field(examples=["processing"])
    reason: str = Field(examples=["range"])
    count: int = Field(examples=[3])
    per_s: float | None = Field(examples=[0.0])


class CountsModel(BaseModel):
    """What else tells how the pipeline does; null: who would know does not answer."""

    sensors_active: int | None = Field(examples=[100])
    sensors_silent: int | None = Field(examples=[2])
    mqtt_in_flight: int | None = Field(examples=[0])
    mqtt_redelivered: int | None = Field(examples=[0])
    duplicates: int | None = Field(examples=[0])
    late_readings: int | None = Field(examples=[0])
    repairs: int | None = Field(examples=[0])
    requests_per_s: float | None = Field(examples=[4.5])
    request_errors_per_s: float | None = Field(examples=[0.0], description="Answers with a status of 500 or more.")
    streams: int | None = Field(examples=[1], description="Answers that are being streamed.")


class StatsModel(BaseModel):
    """The stack at one moment."""

    healthy: bool = Field(description="All services are ready.")
    time: float = Field(examples=[1664000000.123], description="Epoch seconds.")
    interval_s: float | None = Field(
        examples=[2.0],
        description="What rates and latencies are of; null in the first answer after a pause, where there is nothing "
        "to compare with: ask again in a second.",
    )
    services: list[ServiceModel]
    hops: list[HopModel]
    end_to_end: dict[str, LatencyModel] = Field(description="From a sensor's time to the committed row, by table.")
    dead_letters: list[RefusedModel] = Field(description="Those that there are, the most first.")
    counts: CountsModel


@router.get("/stats", response_model=StatsModel, summary="Services, rates, lag, latencies and dead letters")
async def stats(request: Request, wanted: Annotated[Parameters, Query()]) -> Response:
    """From the services' own metrics, at most a second old. The counts of a service begin when it starts."""
    sampler: Sampler = request.app.state.sampler
    try:
        document = await sampler.document()
    except TimeoutError:
        retry = {"Retry-After": str(problems.RETRY_AFTER_S)}
        return problems.problem(503, "too_slow", "the services' metrics do not come", retry)
    return Response(document, media_type="application/json")
