"""MQTT over WebSocket: /mqtt passes the bytes of a connection on to the MQTT listener, and back."""

from __future__ import annotations

import asyncio

import structlog
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected

from backend_demo.gateway import problems
from backend_demo.gateway.edge.access import MQTT
from backend_demo.gateway.edge.http_protocol import ABORT
from backend_demo.gateway.edge.ws_protocol import MESSAGE_SIZE
from backend_demo.gateway.live.hub import Live, TooManyClients
from backend_demo.gateway.routes.stream import too_many
from backend_demo.settings import Settings

#: The WebSocket subprotocol of MQTT (OASIS MQTT 5.0, 6.0).
SUBPROTOCOL = "mqtt"
#: Time for the MQTT listener to take a connection, seconds.
CONNECT_S = 5.0
#: A client that reads nothing for this long is cut off, seconds.
READ_S = 30.0
#: A listener that takes nothing for this long is given up, seconds: while Kafka is away, it stops reading.
TAKE_S = 600.0
#: Largest piece of what the listener sends, bytes.
PIECE_BYTES = 65_536
#: Largest message that a client may send if packets are smaller, bytes: it may hold several.
MESSAGE_BYTES = 1_048_576

#: Close codes (RFC 6455, 7.4.1): normal; unsupported data; and from their registry, try again later.
_NORMAL, _NO_BINARY, _LATER = 1000, 1003, 1013

log = structlog.get_logger()


class MqttSocket:
    """Relays bytes at the pace of the slower side; user and password are the listener's affair."""

    def __init__(self, settings: Settings) -> None:
        self._host, self._port = settings.mqtt_host, settings.mqtt_port
        self._message_max = max(MESSAGE_BYTES, settings.mqtt_packet_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if SUBPROTOCOL not in scope["subprotocols"]:
            detail = f"offer the WebSocket subprotocol {SUBPROTOCOL}: Sec-WebSocket-Protocol: {SUBPROTOCOL}"
            await problems.problem(400, "subprotocol_missing", detail)(scope, receive, send)
            return
        live: Live = scope["app"].state.live
        try:
            with live.slot():
                try:
                    async with asyncio.timeout(CONNECT_S):
                        reader, writer = await asyncio.open_connection(self._host, self._port, limit=PIECE_BYTES)
                except OSError:  # TimeoutError is one
                    await _unavailable(self._host, self._port)(scope, receive, send)
                    return
                scope["extensions"][MESSAGE_SIZE]["allow"](self._message_max)
                try:
                    await _Relay(reader, writer, scope, receive, send).run()
                finally:
                    writer.close()
        except TooManyClients:
            await too_many()(scope, receive, send)


class _Relay:
    """One connection, until either side ends it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._reader, self._writer = reader, writer
        self._receive, self._send = receive, send
        self._scope = scope

    async def run(self) -> None:
        """Returns when the connection has ended; on both sides, with what was under way delivered."""
        await self._send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        try:
            async with asyncio.TaskGroup() as tasks:
                up = tasks.create_task(self._up())
                down = tasks.create_task(self._down())
                done, _ = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
                code = next((task.result() for task in done if not task.exception()), None)
                up.cancel()
                down.cancel()
            if code is not None:
                await self._send({"type": "websocket.close", "code": code})
        except ClientDisconnected:
            """The client left while it was told that the listener has."""
        except asyncio.CancelledError:
            log.warning("mqtt connection cut off", reason="the gateway is stopping")

    async def _up(self) -> int | None:
        """Passes on what the client sends; returns the code to close with, None: the client has ended it."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return None
            if message["type"] == "websocket.connect":
                continue
            data = message.get("bytes")
            if data is None:
                return _NO_BINARY
            self._writer.write(data)
            try:
                async with asyncio.timeout(TAKE_S):
                    await self._writer.drain()
            except TimeoutError:
                return _LATER
            except OSError:
                return _NORMAL

    async def _down(self) -> int | None:
        """Passes on what the listener sends; returns as `_up` does."""
        while True:
            try:
                data = await self._reader.read(PIECE_BYTES)
            except OSError:
                return _NORMAL
            if not data:
                return _NORMAL
            try:
                async with asyncio.timeout(READ_S):
                    await self._send({"type": "websocket.send", "bytes": data})
            except TimeoutError:
                self._scope["extensions"][ABORT]["abort"]()
                return None
            except ClientDisconnected:
                return None


def _unavailable(host: str, port: int) -> Response:
    detail = f"the MQTT listener at {host} port {port} does not answer"
    return problems.problem(503, "mqtt_unavailable", detail, {"Retry-After": str(problems.RETRY_AFTER_S)})


def route(settings: Settings) -> WebSocketRoute:
    """The route to the MQTT listener of these settings."""
    return WebSocketRoute(MQTT, MqttSocket(settings), name="mqtt")
