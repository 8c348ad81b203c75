"""The live stream as WebSocket messages: /v1/ws."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.routing import WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from backend_demo.gateway import problems
from backend_demo.gateway.edge.ws_protocol import FRAMES
from backend_demo.gateway.live.client import ENDING, OTHER_LOG, TOO_SLOW, UNKNOWN_ID
from backend_demo.gateway.live.event import WEB_SOCKET
from backend_demo.gateway.live.hub import Live, TooManyClients
from backend_demo.gateway.live.relay import relay
from backend_demo.gateway.routes.stream import StreamParameters, position_of, too_many

#: Messages from clients are ignored: one larger than this closes the connection (bytes).
MESSAGE_MAX = 1024
#: Pause between reading two of them, seconds.
MESSAGE_EVERY_S = 0.1

#: Close codes (RFC 6455, 7.4.1, and its registry): service restart; policy violation; try again later.
_CLOSE_CODES = {ENDING: 1012, OTHER_LOG: 1012, UNKNOWN_ID: 1008, TOO_SLOW: 1013}


class LiveSocket:
    """Sends each event as `{"event": ..., "id": ..., "data": {...}}`; takes the parameters of /v1/stream."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        live: Live = scope["app"].state.live
        try:
            asked = _parameters(socket)
            last_id = socket.headers.get("last-event-id") or asked.last_event_id
            position = await position_of(live, last_id)
        except RequestValidationError as problem:
            await problems.invalid(problem)(scope, receive, send)
            return

        async def write(piece: bytes) -> None:
            await send({"type": FRAMES, "frames": piece})

        async def finish() -> None:
            await socket.close(_CLOSE_CODES[client.reason], client.reason)

        async def paced() -> Message:
            message = await receive()
            if message["type"] != "websocket.disconnect":
                await asyncio.sleep(MESSAGE_EVERY_S)  # meanwhile nothing is read
            return message

        try:
            with live.client(WEB_SOCKET, asked.wanted(), live=last_id is None) as client:
                await socket.accept()
                pieces = live.pieces(client, last_id, position)
                await relay(client, pieces, scope=scope, receive=paced, write=write, finish=finish)
        except TooManyClients:
            await too_many()(scope, receive, send)


def _parameters(socket: WebSocket) -> StreamParameters:
    """Validates the parameters by the rules of /v1/stream. Raises RequestValidationError."""
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
