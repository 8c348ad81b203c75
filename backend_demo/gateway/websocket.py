"""The live stream as WebSocket messages: /v1/ws."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from backend_demo.gateway import problems
from backend_demo.gateway.live import Live, TooManyClients
from backend_demo.gateway.live_client import ENDING, OTHER_LOG, TOO_SLOW, UNKNOWN_ID
from backend_demo.gateway.live_event import WEB_SOCKET
from backend_demo.gateway.live_relay import relay
from backend_demo.gateway.protocol_ws import FRAMES
from backend_demo.gateway.stream import StreamParameters, place_of, too_many

#: What a client sends means nothing here; larger messages end it, and one is taken in this time.
MESSAGE_MAX = 1024
MESSAGE_EVERY_S = 0.1

#: RFC 6455, 7.4.1, and its registry: the server restarts; what was asked is against the rules; come back later.
_CLOSE_CODES = {ENDING: 1012, OTHER_LOG: 1012, UNKNOWN_ID: 1008, TOO_SLOW: 1013}


class LiveSocket:
    """Each event as a message: `{"event": ..., "id": ..., "data": {...}}`; the parameters are those of /v1/stream."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        live: Live = scope["app"].state.live
        try:
            asked = _parameters(socket)
            last_id = socket.headers.get("last-event-id") or asked.last_event_id
            place = await place_of(live, last_id)
        except RequestValidationError as problem:
            await problems.invalid(problem)(scope, receive, send)
            return

        async def write(piece: bytes) -> None:
            await send({"type": FRAMES, "frames": piece})

        async def finish() -> None:
            await socket.close(_CLOSE_CODES[client.reason], client.reason)

        async def leave() -> None:
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    return
                await asyncio.sleep(MESSAGE_EVERY_S)  # nothing is read meanwhile

        try:
            with live.client(WEB_SOCKET, asked.wanted(), live=last_id is None) as client:
                await socket.accept()
                pieces = live.pieces(client, last_id, place)
                await relay(client, pieces, scope=scope, write=write, finish=finish, leave=leave)
        except TooManyClients:
            await too_many()(scope, receive, send)


def _parameters(socket: WebSocket) -> StreamParameters:
    """The parameters by the rules of /v1/stream. Raises RequestValidationError."""
    given: dict[str, Any] = {}
    for name, value in socket.query_params.multi_items():
        if name in ("topic", "sensor"):
            given.setdefault(name, []).append(value)
        else:
            given[name] = value
    try:
        return StreamParameters.model_validate(given)
    except ValidationError as problem:
        errors = [{**error, "loc": ("query", *error["loc"])} for error in problem.errors()]
        raise RequestValidationError(errors) from problem


route = WebSocketRoute("/v1/ws", LiveSocket(), name="ws")
