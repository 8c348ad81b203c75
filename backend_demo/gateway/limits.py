"""Bounds that all routes share: requests at once, and the body of one; and HEAD, which is as bounded as GET."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend_demo.gateway import problems

#: Far above what answers in time; streams that last are counted too.
REQUESTS_MAX = 1000
#: The largest that any route has a use for is a hundredth of it.
BODY_MAX = 16_384

_TOO_LARGE = f"a body has {BODY_MAX} bytes at most"


class Limited:
    """An application that is asked for no more at once than it can do, and reads no large body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if self._under_way >= REQUESTS_MAX:
            retry = {"Retry-After": str(problems.RETRY_AFTER_S)}
            refusal = problems.problem(503, "too_busy", f"{REQUESTS_MAX} requests are under way already", retry)
            await refusal(scope, receive, send)
            return
        if scope["type"] == "http" and scope["method"] != "GET":
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
    """What the head says of the body's length; 0: nothing."""
    given = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(given) if given.isdigit() else 0


def _bounded(receive: Receive) -> Receive:
    """A body that comes in pieces does not tell its length before."""
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
    """An application that answers HEAD wherever it answers GET, with the same head, and ends when that is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answered = False

        async def receiving() -> Message:
            # whoever streams takes this for the client's end: nothing more is read for a body that nobody gets
            return {"type": "http.disconnect"} if answered else await receive()

        async def sending(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                await send(message)
            elif not answered:
                answered = True
                await send({"type": "http.response.body", "body": b""})

        await self._app({**scope, "method": "GET"}, receiving, sending)
