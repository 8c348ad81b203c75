"""Sends a live stream to its client, until the client leaves, is ended, or stops reading."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

import structlog
from starlette.types import Receive, Scope
from uvicorn.protocols.utils import ClientDisconnected

from backend_demo.gateway.disconnect import ClientGone, while_connected
from backend_demo.gateway.edge.http_protocol import ABORT, NOW
from backend_demo.gateway.live.client import TOO_SLOW, Client

#: Time in which an ended client may read its last notice, before its connection is cut, seconds.
LAST_WORDS_S = 2.0
#: A client that reads nothing for this long is ended, seconds.
SEND_TIMEOUT_S = 30.0

log = structlog.get_logger()


async def relay(
    client: Client,
    pieces: AsyncGenerator[bytes, None],
    *,
    scope: Scope,
    receive: Receive,
    write: Callable[[bytes], Awaitable[None]],
    finish: Callable[[], Awaitable[None]],
) -> None:
    """Writes the pieces and then calls `finish`; what the connection can take at once bypasses both."""
    abort: Callable[[], None] = scope["extensions"][ABORT]["abort"]
    client.send_now = scope["extensions"][NOW]["write"]
    try:
        async with asyncio.TaskGroup() as tasks:
            cutting = tasks.create_task(_cut_off(client, abort))
            with contextlib.suppress(ClientGone):
                await while_connected(receive, _write_all(client, pieces, write, finish))
            cutting.cancel()
    except asyncio.CancelledError:
        log.warning("live stream cut off", reason="the gateway is stopping")


async def _write_all(
    client: Client,
    pieces: AsyncGenerator[bytes, None],
    write: Callable[[bytes], Awaitable[None]],
    finish: Callable[[], Awaitable[None]],
) -> None:
    try:
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                if piece:
                    async with asyncio.timeout(SEND_TIMEOUT_S):
                        await write(piece)
        await finish()
    except TimeoutError:
        client.end(TOO_SLOW, f"the client read nothing for {SEND_TIMEOUT_S:.0f} s")
        await asyncio.Event().wait()  # cancelled when the connection is cut
    except ClientDisconnected:
        """The client left during a write."""


async def _cut_off(client: Client, abort: Callable[[], None]) -> None:
    await client.ended.wait()
    await asyncio.sleep(LAST_WORDS_S)
    abort()
