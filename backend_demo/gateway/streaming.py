"""A range of rows as one JSON array, sent while it is read: a million rows take the memory of one block."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from backend_demo.storage import read
from backend_demo.storage.pool import Database, DatabaseUnavailable

#: A client that takes no byte for so long is given up: it holds a connection to the database.
SEND_TIMEOUT_S = 30.0

log = structlog.get_logger()


class ClientStalled(Exception):
    """The client has stopped reading."""


class RangeResponse(StreamingResponse):
    """Reads and sends block by block. When the client goes away, Starlette cancels it, and asyncpg cancels the query.

    An error before the first block is an answer of its own (503). After it, the answer is cut off without its end,
    which HTTP clients report: never a shorter array that looks whole.
    """

    def __init__(
        self,
        database: Database,
        series: read.Series,
        sensor: int,
        start: float,
        end: float,
        encode: Callable[[Sequence[read.Row]], str],
    ) -> None:
        super().__init__((), media_type="application/json")
        self._database = database
        self._range = (series, sensor, start, end)
        self._encode = encode
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            # uvicorn cancels what outlasts its shutdown, and logs a traceback for each that passes this on
            log.warning("range cut off", series=self._range[0], reason="the gateway ends")

    async def stream_response(self, send: Send) -> None:
        try:
            try:
                await self._stream(send)
            except DatabaseUnavailable as problem:
                if self._started or not problem.lost:
                    raise
                await self._stream(send)
        except (DatabaseUnavailable, ClientStalled) as problem:
            if not self._started:
                raise
            log.warning("range cut off", series=self._range[0], reason=str(problem))

    async def _stream(self, send: Send) -> None:
        async with (
            self._database.range_connection() as connection,
            contextlib.aclosing(read.blocks(connection, *self._range)) as blocks,
        ):
            rows: list[read.Row] = await anext(blocks, [])
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._started = True
            text = "[" + self._encode(rows)
            async for rows in blocks:
                await _send(send, text)
                text = "," + self._encode(rows)
        await _send(send, text + "]", more=False)


async def _send(send: Send, text: str, *, more: bool = True) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})
    except TimeoutError:
        raise ClientStalled(f"the client took nothing for {SEND_TIMEOUT_S:.0f} s") from None
