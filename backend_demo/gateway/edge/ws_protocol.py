"""uvicorn's WebSocket protocol, extended to send ready-made frames, encoded once for many clients."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from backend_demo.gateway import problems
from backend_demo.gateway.edge.http_protocol import ABORT, NOW

#: Like `websocket.send`, but with any number of whole frames; only without compression.
FRAMES = "bdemo.frames"
#: Extension of a connection's scope: `allow(size)` sets the largest message that this client may send, bytes.
MESSAGE_SIZE = "bdemo.message_size"


class FramesProtocol(WebSocketsSansIOProtocol):
    """Sends ready-made frames: framing a message for each client would cost a hundred times as much as sending it."""

    async def run_asgi(self) -> None:
        self.scope["extensions"] |= {
            ABORT: {"abort": self.transport.abort},
            NOW: {"write": self._write_now},
            MESSAGE_SIZE: {"allow": self._allow},
        }
        await super().run_asgi()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.handshake_initiated or self.conn.handshake_exc is None:
            return
        # the library accepts shorter lines than our HTTP protocol, and uvicorn would leave the client without an answer
        answer = problems.problem(
            414, "uri_too_long", "the URL or a header of the WebSocket request is longer than 8192 bytes"
        )
        headers = (*self.default_headers, *answer.raw_headers, (b"connection", b"close"))
        head = [STATUS_LINE[answer.status_code], *(b"%s: %s\r\n" % header for header in headers), b"\r\n"]
        self.transport.write(b"".join(head) + bytes(answer.body))
        self.transport.close()

    async def send(self, message: Any) -> None:
        if message["type"] != FRAMES:
            await super().send(message)
            if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
                self.handshake_complete = True  # otherwise uvicorn logs each refusal as an error
            return
        await self.writable.wait()
        if self.disconnected or self.close_sent or self.transport.is_closing():
            raise ClientDisconnected
        self.transport.write(message["frames"])

    def _allow(self, size: int) -> None:
        self.conn.max_message_size = size

    def _write_now(self, data: bytes) -> bool:
        if not self.writable.is_set() or self.disconnected or self.close_sent or self.transport.is_closing():
            return False
        self.transport.write(data)
        return True
