"""Streams rows while they are read: a million rows take the memory of a few thousand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend_demo import metrics
from backend_demo.gateway.disconnect import ClientGone, while_connected
from backend_demo.storage.pool import Database, DatabaseUnavailable
from backend_demo.storage.ranges import CopyOutput, snapshot

#: A client that takes no piece within this time is cut off, since it holds a database connection, seconds.
SEND_TIMEOUT_S = 30.0

log = structlog.get_logger()


Read = Callable[[Any, CopyOutput], Awaitable[None]]
"""Copies rows on a connection, in a snapshot."""


class Encoder(Protocol):
    """Turns what is copied out of the database into the body of an answer."""

    async def feed(self, data: bytes) -> bytes:
        """What can be sent so far."""

    async def end(self) -> bytes:
        """The rest."""


class ClientStalled(Exception):
    """The client has stopped reading."""


class RowsResponse(Response):
    """Reads and sends at the client's pace; when the client leaves, the query is cancelled and rolled back.

    An error before the first rows becomes an answer of its own (503, 504). After them, the answer is cut off without
    its end, which HTTP clients report, so that a shorter array never looks complete.
    """

    def __init__(
        self,
        database: Database,
        read: Read,
        encoder: Callable[[], Encoder],
        *,
        media_type: str,
        route: str,
        headers: Mapping[str, str] | None = None,
        instead: Callable[[Any], Awaitable[Response | None]] | None = None,
        on_first: Callable[[bytes], None] = lambda data: None,
    ) -> None:
        """`encoder` makes a new encoder. `route`: for the log.

        `instead` returns, in the same snapshot, an answer to send in place of the rows, or None; it may add to
        `headers`. `on_first` gets the beginning of the copy.
        """
        super().__init__(None, media_type=media_type, headers=headers)
        del self.headers["content-length"]
        self._database = database
        self._read = read
        self._encoder = encoder
        self._route = route
        self._instead = instead
        self._on_first = on_first
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with metrics.streams.track_inprogress():
                await while_connected(receive, self._answer(scope, receive, send))
        except ClientGone:
            return
        except asyncio.CancelledError:
            # uvicorn cancels what outlasts its shutdown, and logs a traceback for each that passes this on
            self._cut_off("the gateway is stopping")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            try:
                await self._read_and_send(scope, receive, send)
            except DatabaseUnavailable as problem:
                if self._started or not problem.lost:
                    raise
                await self._read_and_send(scope, receive, send)
        except (DatabaseUnavailable, ClientStalled) as problem:
            if not self._started:
                raise
            self._cut_off(str(problem))

    async def _read_and_send(self, scope: Scope, receive: Receive, send: Send) -> None:
        encoder = self._encoder()

        async def output(data: bytes) -> None:
            if not self._started:
                self._on_first(data)
            await self._send(send, await encoder.feed(data))

        async with self._database.range_connection() as connection, snapshot(connection):
            other = await self._instead(connection) if self._instead else None
            if other is None:
                await self._read(connection, output)
        if other is not None:
            await other(scope, receive, send)
            return
        await self._send(send, await encoder.end(), more=False)

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        if more and not body:
            return
        if not self._started:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._started = True
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            raise ClientStalled(f"the client read nothing for {SEND_TIMEOUT_S:.0f} s") from None

    def _cut_off(self, reason: str) -> None:
        log.warning("rows cut off", route=self._route, reason=reason)
