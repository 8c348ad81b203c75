"""Rows that are sent while they are read: a million of them take the memory of one block."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from backend_demo import metrics
from backend_demo.gateway.formats import Form
from backend_demo.gateway.measure import observe_age
from backend_demo.storage.pool import Database, DatabaseUnavailable

#: A client that takes no byte for so long is given up: it holds a connection to the database.
SEND_TIMEOUT_S = 30.0

log = structlog.get_logger()


Read = Callable[[Any], AsyncGenerator[Sequence[Any], None]]
"""Reads blocks of rows on a connection."""


class ClientStalled(Exception):
    """The client has stopped reading."""


class RowsResponse(StreamingResponse):
    """Reads and sends block by block, until the client leaves: then the query is cancelled and rolled back.

    An error before the first block is an answer of its own (503). After it, the answer is cut off without its end,
    which HTTP clients report: never a shorter array that looks whole.
    """

    def __init__(self, database: Database, read: Read, form: Form, *, route: str, newest_first: bool = False) -> None:
        """`route`: for the metrics and the log. `newest_first`: the first row tells how old the answer is."""
        super().__init__((), media_type=form.media_type)
        self._database = database
        self._read = read
        self._form = form
        self._route = route
        self._newest_first = newest_first
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # not Starlette's own way: its cancellation comes again at each await, and would cancel the rollback too
        try:
            with metrics.streams.track_inprogress():
                async with asyncio.TaskGroup() as tasks:
                    sending = tasks.create_task(self._answer(send))
                    leaving = tasks.create_task(_cancel_when_gone(receive, sending))
                    sending.add_done_callback(lambda _: leaving.cancel())
        except asyncio.CancelledError:
            # uvicorn cancels what outlasts its shutdown, and logs a traceback for each that passes this on
            self._cut_off("the gateway ends")
            return
        unanswered = None if sending.cancelled() else sending.result()
        if unanswered is not None:
            raise unanswered

    async def _answer(self, send: Send) -> Exception | None:
        """Why there is no answer at all, if so."""
        try:
            try:
                await self._read_and_send(send)
            except DatabaseUnavailable as problem:
                if self._started or not problem.lost:
                    raise
                await self._read_and_send(send)
        except (DatabaseUnavailable, ClientStalled) as problem:
            if not self._started:
                return problem
            self._cut_off(str(problem))
        return None

    async def _read_and_send(self, send: Send) -> None:
        form = self._form
        async with (
            self._database.range_connection() as connection,
            contextlib.aclosing(self._read(connection)) as blocks,
        ):
            rows: Sequence[Any] = await anext(blocks, [])
            if self._newest_first:
                observe_age(self._route, rows[:1])
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._started = True
            text = form.head + form.encode(rows)
            async for rows in blocks:
                await _send(send, text)
                text = form.between + form.encode(rows)
        await _send(send, text + form.tail, more=False)

    def _cut_off(self, reason: str) -> None:
        log.warning("rows cut off", route=self._route, reason=reason)


async def _cancel_when_gone(receive: Receive, sending: asyncio.Task[Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        """A piece of a body that nobody asked for."""
    sending.cancel()


async def _send(send: Send, text: str, *, more: bool = True) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})
    except TimeoutError:
        raise ClientStalled(f"the client took nothing for {SEND_TIMEOUT_S:.0f} s") from None
