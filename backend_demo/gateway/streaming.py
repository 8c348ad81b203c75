"""Rows that are sent while they are read: a million of them take the memory of a few thousand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend_demo import metrics
from backend_demo.storage.pool import Database, DatabaseUnavailable
from backend_demo.storage.ranges import Output, snapshot

#: A client that does not take a piece within this time is given up: it holds a connection to the database.
SEND_TIMEOUT_S = 30.0

log = structlog.get_logger()

_T = TypeVar("_T")


Read = Callable[[Any, Output], Awaitable[None]]
"""Copies rows on a connection, in a snapshot."""


class Encoder(Protocol):
    """Makes an answer's body of what is copied out of the database."""

    async def feed(self, data: bytes) -> bytes:
        """What can be sent, of what has come up to now."""

    async def end(self) -> bytes:
        """The rest."""


class ClientStalled(Exception):
    """The client has stopped reading."""


class ClientGone(Exception):
    """The client has left before its answer."""

    status = 499
    """nginx's, for the metrics: nobody reads it."""


async def while_there(receive: Receive, work: Coroutine[Any, Any, _T]) -> _T:
    """What `work` returns or raises; it is cancelled when the client leaves. Raises ClientGone."""
    try:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(work)
            leaving = tasks.create_task(_cancel_when_gone(receive, working))
            working.add_done_callback(lambda _: leaving.cancel())
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
    if working.cancelled():
        raise ClientGone
    return working.result()


class RowsResponse(Response):
    """Reads and sends at the client's pace, until it leaves: then the query is cancelled and rolled back.

    An error before the first rows is an answer of its own (503, 504). After them, the answer is cut off without its
    end, which HTTP clients report: never a shorter array that looks whole.
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
        """`encoder`: a new one. `route`: for the log.

        `instead`: in the same snapshot, the answer in place of this one, if so; it may add to `headers`. `on_first` is
        given the begin of the copy.
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
        # not Starlette's own way: its cancellation comes again at each await, and would cancel the rollback too
        try:
            with metrics.streams.track_inprogress():
                async with asyncio.TaskGroup() as tasks:
                    sending = tasks.create_task(self._answer(scope, receive, send))
                    leaving = tasks.create_task(_cancel_when_gone(receive, sending))
                    sending.add_done_callback(lambda _: leaving.cancel())
        except asyncio.CancelledError:
            # uvicorn cancels what outlasts its shutdown, and logs a traceback for each that passes this on
            self._cut_off("the gateway ends")
            return
        unanswered = None if sending.cancelled() else sending.result()
        if unanswered is not None:
            raise unanswered

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Exception | None:
        """Why there is no answer at all, if so."""
        try:
            try:
                await self._read_and_send(scope, receive, send)
            except DatabaseUnavailable as problem:
                if self._started or not problem.lost:
                    raise
                await self._read_and_send(scope, receive, send)
        except (DatabaseUnavailable, ClientStalled) as problem:
            if not self._started:
                return problem
            self._cut_off(str(problem))
        return None

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
            raise ClientStalled(f"the client took nothing for {SEND_TIMEOUT_S:.0f} s") from None

    def _cut_off(self, reason: str) -> None:
        log.warning("rows cut off", route=self._route, reason=reason)


async def _cancel_when_gone(receive: Receive, sending: asyncio.Task[Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        """A piece of a body that nobody asked for."""
    sending.cancel()
