"""Work for a client, cancelled as soon as the client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

_T = TypeVar("_T")


class ClientGone(Exception):
    """The client disconnected before the work was done."""

    status = 499
    """nginx's status for this case, for the metrics: no client reads it."""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, _T]) -> _T:
    """What `work` returns or raises; cancelled when the client disconnects, and then it raises ClientGone.

    Discards whatever else the client sends. Starlette's own cancellation comes again at each await, and would cancel
    the clean-up too, such as a rollback.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(work)
            watching = tasks.create_task(_cancel_when_gone(receive, working))
            working.add_done_callback(lambda _: watching.cancel())
    except ExceptionGroup as group:
        problem = group.exceptions[0]
        raise problem from problem.__cause__
    if working.cancelled():
        raise ClientGone
    return working.result()


async def _cancel_when_gone(receive: Receive, working: asyncio.Task[Any]) -> None:
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        """Discard a message, or a piece of a body."""
    working.cancel()
