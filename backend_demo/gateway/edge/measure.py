"""Metrics of requests and answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend_demo import metrics

_ENDLESS = (b"content-type", b"text/event-stream; charset=utf-8")


class Measured:
    """Middleware that times requests by route and status; a path without a route counts as `none`.

    An endless stream is timed until it begins.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.monotonic()
        end: float | None = None
        status = 499  # nginx's status for a client that left before its answer

        async def noting(message: Message) -> None:
            nonlocal status, end
            if message["type"] == "http.response.start":
                status = message["status"]
                if _ENDLESS in message["headers"]:
                    end = time.monotonic()
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            metrics.request_seconds.labels(route, str(status)).observe((end or time.monotonic()) - begin)


def observe_age(route: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Records the age of the newest of these rows, in any order; their second column is the time."""
    if rows:
        age = max(0.0, time.time() - max(row[1] for row in rows))
        metrics.requested_age.labels(route).observe(age)
