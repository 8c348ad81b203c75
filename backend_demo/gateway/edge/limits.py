"""Limits for all routes: concurrent requests, the size of a body, and HEAD without the work for a body."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend_demo.gateway import problems
from backend_demo.gateway.edge.access import publishes

#: Maximum number of concurrent requests, including streams; far more than can be answered in time.
REQUESTS_MAX = 1000
#: Maximum size of a body, a hundred times what any route needs, bytes.
BODY_MAX = 16_384

_TOO_LARGE = f"the body is larger than {BODY_MAX} bytes"


class Limited:
    """Middleware that refuses requests beyond the limits. Readings that are sent have a larger one, in their route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if self._under_way >= REQUESTS_MAX:
            retry = {"Retry-After": str(problems.RETRY_AFTER_S)}
            refusal = problems.problem(503, "too_busy", f"{REQUESTS_MAX} requests are in progress already", retry)
            await refusal(scope, receive, send)
            return
        if scope["type"] == "http" and scope["method"] != "GET" and not publishes(scope):
            if _length(scope) > BODY_MAX:
                await problems.problem(413, "content_too_large", _TOO_LARGE)(scope, receive, send)
                return
            receive = _bounded(receive)
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1


def _length(scope: Scope) -> int:
    """The body's length according to the head; 0 if the head does not give it."""
    given = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(given) if given.isdigit() else 0


def _bounded(receive: Receive) -> Receive:
    """Counts a body that arrives in pieces, whose length is not known beforehand."""
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_MAX:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return receiving


class Heads:
    """Middleware that answers HEAD like GET, with the same head, and stops when that is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answered = False

        async def receiving() -> Message:
            # a stream takes this for a disconnect, and stops reading for a body that is never sent
            return {"type": "http.disconnect"} if answered else await receive()

        async def sending(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                await send(message)
            elif not answered:
                answered = True
                await send({"type": "http.response.body", "body": b""})

        await self._app({**scope, "method": "GET"}, receiving, sending)
