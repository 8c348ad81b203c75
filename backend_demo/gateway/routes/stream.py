"""The live stream as server-sent events: /v1/stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend_demo.gateway import problems
from backend_demo.gateway.live.event import SERVER_SENT, TOPICS, EventTopic, Wanted
from backend_demo.gateway.live.hub import Live, TooManyClients
from backend_demo.gateway.live.position import StreamPosition
from backend_demo.gateway.live.relay import relay
from backend_demo.gateway.routes.parameters import NamedSensor, Parameters

#: Value of `Retry-After` when there are too many streams, seconds.
RETRY_AFTER_S = 5
#: Tells browsers to reconnect this many milliseconds after a stream has ended.
_OPENING = b"retry: 1000\n"

_ID = "The `id` of the last event received: events since then are sent first."

router = APIRouter(prefix="/v1", tags=["live"])


class StreamParameters(Parameters):
    """What to stream, and from where."""

    topic: list[EventTopic] = Field(
        default_factory=list, max_length=20, description="What to stream; repeat for several. Default: everything."
    )
    sensor: list[NamedSensor] = Field(
        default_factory=list, max_length=1000, description="Number or name; repeat for several. Default: all."
    )
    last_event_id: Annotated[
        str | None, Field(max_length=1000, description=f"{_ID} The header `Last-Event-ID` takes precedence.")
    ] = None

    def wanted(self) -> Wanted:
        """The client's filter."""
        return Wanted(frozenset(TOPICS[topic] for topic in self.topic or TOPICS), frozenset(self.sensor))


_EXAMPLE = """retry: 1000
id: 0UE3zwECAwQFBgcI
event: reading
data: {"sensor":1,"timestamp":1664000000.123,"value":21.0}

id: 7sDk8QICAwQFBgcI
event: average
data: {"sensor":1,"timestamp":1664000000.123,"value":21.4}

:
event: notice
data: {"code":"kafka_away","detail":"Kafka is unavailable; the stream resumes where it stopped"}

"""


@router.get(
    "/stream",
    response_class=Response,
    summary="Readings, averages and dead letters as they arrive",
    responses={
        200: {
            "description": "Server-sent events, in an endless stream.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        **problems.responses(
            _422="A parameter is invalid, or the id does not belong to this stream.",
            _429="Too many live streams are open.",
        ),
    },
)
async def stream(
    request: Request,
    wanted: Annotated[StreamParameters, Query()],
    last_event_id: Annotated[str | None, Header(max_length=1000, description=_ID)] = None,
) -> Response:
    """Straight from Kafka, with each sensor's events in order. `WS /v1/ws` sends the same as messages.

    `event` is `reading`, `average`, `dead-letter` (as in /v1/dead-letters), `notice` (about the stream itself) or
    `keep-alive` (the stream has moved on without an event for this client).
    """
    live: Live = request.app.state.live
    last_id = last_event_id or wanted.last_event_id
    return _Events(live, wanted.wanted(), last_id, await position_of(live, last_id))


async def position_of(live: Live, last_id: str | None) -> StreamPosition | None:
    """Where a stream begins: see `Live.opening`. Raises RequestValidationError."""
    try:
        return await live.opening(last_id)
    except ValueError as problem:
        raise RequestValidationError(
            [{"type": "last_event_id", "loc": ("query", "last_event_id"), "msg": str(problem)}]
        ) from problem


def too_many() -> Response:
    """The answer when the maximum number of streams is open."""
    detail = "the maximum number of live streams is open already"
    return problems.problem(429, "too_many_streams", detail, {"Retry-After": str(RETRY_AFTER_S)})


class _Events(Response):
    def __init__(self, live: Live, wanted: Wanted, last_id: str | None, position: StreamPosition | None) -> None:
        super().__init__(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._live, self._wanted, self._last_id, self._position = live, wanted, last_id, position

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(piece: bytes) -> None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

        async def finish() -> None:
            await send({"type": "http.response.body", "body": b""})

        try:
            with self._live.client(SERVER_SENT, self._wanted, live=self._last_id is None) as client:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await write(_OPENING)
                pieces = self._live.pieces(client, self._last_id, self._position)
                await relay(client, pieces, scope=scope, receive=receive, write=write, finish=finish)
        except TooManyClients:
            await too_many()(scope, receive, send)
