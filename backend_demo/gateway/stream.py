"""The live stream as server-sent events: /v1/stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend_demo.gateway import problems
from backend_demo.gateway.live import Live, TooManyClients
from backend_demo.gateway.live_event import SERVER_SENT, TOPICS, Topic, Wanted
from backend_demo.gateway.live_place import Place
from backend_demo.gateway.live_relay import relay
from backend_demo.gateway.parameters import Parameters, SensorNumber

#: When a client comes back for which there was no room.
RETRY_AFTER_S = 5
#: A browser comes back so soon after a stream has ended, milliseconds.
_OPENING = b"retry: 1000\n"

_ID = "The `id` of the last event that came: what came since is sent first."

router = APIRouter(prefix="/v1", tags=["live"])


class StreamParameters(Parameters):
    """What to stream, and from where."""

    topic: list[Topic] = Field(
        default_factory=list, max_length=20, description="What to stream, several times for several; none: all of it."
    )
    sensor: list[SensorNumber] = Field(
        default_factory=list, max_length=1000, description="Sensor number, several times for several; none: all."
    )
    last_event_id: Annotated[
        str | None, Field(max_length=1000, description=f"{_ID} The header of this name comes first.")
    ] = None

    def wanted(self) -> Wanted:
        """What the client gets."""
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
data: {"code":"kafka_away","detail":"the stream waits for Kafka, and goes on where it was"}

"""


@router.get(
    "/stream",
    response_class=Response,
    summary="Readings, averages and dead letters as they come",
    responses={
        200: {
            "description": "Server-sent events, without an end.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        **problems.responses(
            _422="A parameter is wrong, or the id is none of this stream.", _429="There are too many live streams."
        ),
    },
)
async def stream(
    request: Request,
    wanted: Annotated[StreamParameters, Query()],
    last_event_id: Annotated[str | None, Header(max_length=1000, description=_ID)] = None,
) -> Response:
    """Straight from Kafka, a sensor's events in their order. `WS /v1/ws` sends the same as messages.

    `event` is `reading`, `average` or `dead-letter`, the latter as in /v1/dead-letters; `notice` tells of the stream
    itself, and `keep-alive` that it has gone on without an event for you.
    """
    live: Live = request.app.state.live
    last_id = last_event_id or wanted.last_event_id
    return _Events(live, wanted.wanted(), last_id, await place_of(live, last_id))


async def place_of(live: Live, last_id: str | None) -> Place | None:
    """Where a stream begins, as `Live.opening`. Raises RequestValidationError."""
    try:
        return await live.opening(last_id)
    except ValueError as problem:
        raise RequestValidationError(
            [{"type": "last_event_id", "loc": ("query", "last_event_id"), "msg": str(problem)}]
        ) from problem


def too_many() -> Response:
    """The answer when there are as many streams as there may be."""
    detail = "there are as many live streams as there may be"
    return problems.problem(429, "too_many_streams", detail, {"Retry-After": str(RETRY_AFTER_S)})


class _Events(Response):
    def __init__(self, live: Live, wanted: Wanted, last_id: str | None, place: Place | None) -> None:
        super().__init__(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._live, self._wanted, self._last_id, self._place = live, wanted, last_id, place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(piece: bytes) -> None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

        async def finish() -> None:
            await send({"type": "http.response.body", "body": b""})

        async def leave() -> None:
            while (await receive())["type"] != "http.disconnect":
                """A piece of a body that nobody asked for."""

        try:
            with self._live.client(SERVER_SENT, self._wanted, live=self._last_id is None) as client:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await write(_OPENING)
                pieces = self._live.pieces(client, self._last_id, self._place)
                await relay(client, pieces, scope=scope, write=write, finish=finish, leave=leave)
        except TooManyClients:
            await too_many()(scope, receive, send)
