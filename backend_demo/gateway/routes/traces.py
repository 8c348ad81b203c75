"""A test reading, followed through the pipeline hop by hop: /v1/traces."""

from __future__ import annotations

import asyncio
import contextlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from backend_demo.domain.names import SENSOR_MAX
from backend_demo.errors import BdemoError
from backend_demo.gateway import problems
from backend_demo.gateway.disconnect import ClientGone, while_connected
from backend_demo.gateway.routes.parameters import json_only
from backend_demo.http_client import httpx
from backend_demo.operations.trace.document import document
from backend_demo.operations.trace.path import Trace

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: Maximum number of traces at once: each holds connections to PostgreSQL, Kafka and MQTT, and reads everything in its
#: partitions.
AT_ONCE = 4
#: Time limit of a trace, seconds.
TIMEOUT_S = 10.0

MEDIA_TYPE = "application/x-ndjson"

States: TypeAlias = "asyncio.Queue[Trace | BdemoError | None]"
"""Each state of a trace, then its error, or None."""

router = APIRouter(prefix="/v1", tags=["v1"])


class TraceRequest(BaseModel):
    """The reading to publish."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sensor: int = Field(ge=0, le=SENSOR_MAX, examples=[1], description="Sensor number.")
    value: float | None = Field(
        None,
        allow_inf_nan=False,
        examples=[21.5],
        description="Degrees Celsius; null: repeats the sensor's newest value, or 20 for a new sensor.",
    )


_EXAMPLE = {
    "schema": "bdemo.trace/1",
    "sensor": 1,
    "timestamp": 1664000000.123,
    "value": 21.5,
    "outcome": "under way",
    "total_ms": 1.2,
    "refusal": None,
    "hops": [
        {
            "name": "MQTT published",
            "service": "",
            "after": None,
            "when": 1664000000.123,
            "since_previous_ms": 0.0,
            "since_start_ms": 0.0,
            "value": '{"timestamp": 1664000000.123, "value": 21.5}',
            "topic": "sensors/1/temperature",
            "partition": None,
            "offset": None,
            "key": None,
        }
    ],
    "missing": ["MQTT acknowledged", "sensor-data"],
    "stands_before": ["MQTT acknowledged", "sensor-data"],
    "troubles": {},
}


@router.post(
    "/traces",
    summary="Publish a reading and follow it from MQTT to REST",
    dependencies=[Depends(json_only)],
    response_class=Response,
    responses={
        200: {
            "description": "One line for each state of the trace. The last one has the `outcome`: `served`, `refused`, "
            "`timed out` or `failed`; for the last three, `problem` gives the reason.",
            "content": {
                MEDIA_TYPE: {
                    "schema": {"type": "string"},
                    "example": msgspec.json.encode(_EXAMPLE).decode() + "\n",
                }
            },
        },
        **problems.responses(
            _400="The body is not UTF-8 text, or nested too deeply.",
            _403="The gateway requires tokens, which are read-only; or a page of another origin asks.",
            _413="The body is too large.",
            _415="The body is not JSON.",
            _422="The body is invalid.",
            _429=f"{AT_ONCE} traces are running already.",
            _503="PostgreSQL, Kafka or the MQTT broker is unavailable; try again.",
        ),
    },
)
async def trace(request: Request, wanted: TraceRequest) -> Response:
    """This is a real reading: it becomes the sensor's newest and stays in the tables, even if the client leaves."""
    return _TraceResponse(request.app.state.tracer, wanted)


class Tracer:
    """Publishes readings as the MQTT user of the settings, and follows them."""

    def __init__(self, settings: Settings, app: ASGIApp) -> None:
        """`app`: the gateway itself, since a trace ends at its routes."""
        # called within this process: this needs no token, no certificate, and no route out of a container and back
        self._transport = httpx.ASGITransport(app)
        self._settings = settings.model_copy(update={"gateway_url": "http://localhost"})
        self.under_way = 0

    async def follow(self, wanted: TraceRequest, states: States) -> None:
        """Publishes a reading, and puts its states into the queue."""
        # in a thread, since the first import takes 0.3 s
        operation: Any = await asyncio.to_thread(import_module, "backend_demo.operations.trace.follow")
        try:
            found = await operation.trace(
                self._settings,
                wanted.sensor,
                value=wanted.value,
                timeout_s=TIMEOUT_S,
                transport=self._transport,
                report=states.put_nowait,
            )
            states.put_nowait(operation.problem(found, TIMEOUT_S))
        except BdemoError as problem:
            states.put_nowait(problem)


class _TraceResponse(Response):
    """Sends the states of a trace as lines, each as soon as it is known, until the client leaves."""

    media_type = MEDIA_TYPE

    def __init__(self, tracer: Tracer, wanted: TraceRequest) -> None:
        super().__init__(headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._tracer = tracer
        self._wanted = wanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._tracer.under_way >= AT_ONCE:
            retry = {"Retry-After": str(problems.RETRY_AFTER_S)}
            refusal = problems.problem(429, "too_many_traces", f"{AT_ONCE} traces are running already", retry)
            await refusal(scope, receive, send)
            return
        states: States = asyncio.Queue()
        self._tracer.under_way += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._tracer.follow(self._wanted, states))
                with contextlib.suppress(ClientGone):
                    await while_connected(receive, self._send_states(states, scope, receive, send))
                following.cancel()
        except asyncio.CancelledError:
            return  # uvicorn cancels what outlasts its shutdown, and logs a traceback for each that passes this on
        finally:
            self._tracer.under_way -= 1

    async def _send_states(self, states: States, scope: Scope, receive: Receive, send: Send) -> None:
        state = last = await states.get()
        if isinstance(state, BdemoError):
            await _unavailable(state)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while isinstance(state, Trace):
            last = state
            if state.outcome == "under way":
                await send({"type": "http.response.body", "body": line(state), "more_body": True})
            state = await states.get()
        assert isinstance(last, Trace)  # noqa: S101 - narrows a type
        await send({"type": "http.response.body", "body": last_line(last, state)})


def line(state: Trace) -> bytes:
    """A state as one line of JSON."""
    return msgspec.json.encode(document(state)) + b"\n"


def last_line(state: Trace, problem: BdemoError | None) -> bytes:
    """The last state, with its error if any; a state still under way means that the trace failed."""
    found = document(state)
    if state.outcome == "under way":
        found["outcome"] = "failed"
    if problem is not None:
        found["problem"] = {"code": problem.code, "detail": problem.message, "hint": problem.hint}
    return msgspec.json.encode(found) + b"\n"


def _unavailable(problem: BdemoError) -> Response:
    retry = {"Retry-After": str(problems.RETRY_AFTER_S)}
    return problems.problem(503, problem.code, problem.message, retry, hint=problem.hint)
