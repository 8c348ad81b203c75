"""uvicorn's WebSocket protocol, which also takes frames that were made beforehand, once for many clients."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from backend_demo.gateway.protocol import ABORT

#: As `websocket.send`, but with any number of whole frames; only without compression.
FRAMES = "bdemo.frames"


class FramesProtocol(WebSocketsSansIOProtocol):
    """To frame a message for each of its clients would cost a hundred times what sending it does."""

    async def run_asgi(self) -> None:
        self.scope["extensions"][ABORT] = {"abort": self.transport.abort}
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        if message["type"] != FRAMES:
            await super().send(message)
            return
        await self.writable.wait()
        if self.disconnected or self.close_sent or self.transport.is_closing():
            raise ClientDisconnected
        self.transport.write(message["frames"])
