"""Sends a live stream to its client, until that leaves, is ended, or takes nothing any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any

import structlog
from starlette.types import Scope
from uvicorn.protocols.utils import ClientDisconnected

from backend_demo.gateway.live_client import TOO_SLOW, Client
from backend_demo.gateway.protocol import ABORT, NOW

#: A client that is ended may take its last notice for so long; then its connection is cut.
LAST_WORDS_S = 2.0
#: A client that takes no byte for so long is ended.
SEND_TIMEOUT_S = 30.0

log = structlog.get_logger()


async def relay(
    client: Client,
    pieces: AsyncGenerator[bytes, None],
    *,
    scope: Scope,
    write: Callable[[bytes], Awaitable[None]],
    finish: Callable[[], Awaitable[None]],
    leave: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Writes the pieces, then `finish`; what the client can take at once it gets at once, past both.

    `leave` returns when the client has left.
    """
    abort: Callable[[], None] = scope["extensions"][ABORT]["abort"]
    client.send_now = scope["extensions"][NOW]["write"]
    # as in streaming.py: a cancellation that comes again at each await would cancel the clean-up too
    try:
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(_write_all(client, pieces, write, finish))
            leaving = tasks.create_task(leave())
            cutting = tasks.create_task(_cut_off(client, abort))
            leaving.add_done_callback(lambda _: writing.cancel())
            writing.add_done_callback(lambda _: (leaving.cancel(), cutting.cancel()))
    except asyncio.CancelledError:
        log.warning("live stream cut off", reason="the gateway ends")


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
        client.end(TOO_SLOW, "nothing was taken for a long time")
        await asyncio.Event().wait()  # to be cancelled, as the connection is cut
    except ClientDisconnected:
        """It left while it was written to."""


async def _cut_off(client: Client, abort: Callable[[], None]) -> None:
    await client.ended.wait()
    await asyncio.sleep(LAST_WORDS_S)
    abort()
