"""An event loop for a command."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

from backend_demo.cli import signals

_T = TypeVar("_T")


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run`, which SIGTERM and SIGHUP end as Ctrl-C does: the coroutine is cancelled, and cleans up.

    An exception out of the signal's handler would end whatever callback is being run, of any task. As with Ctrl-C, a
    second signal is such an exception: the first one may never be heard.
    """
    task: asyncio.Task[Any] | None = None
    ended: int | None = None
    """The signal."""

    async def noted() -> _T:
        nonlocal task
        task = asyncio.current_task()
        return await main

    with asyncio.Runner() as runner:
        loop = runner.get_loop()

        def on_signal(number: int, frame: FrameType | None) -> None:
            nonlocal ended
            if ended or task is None or task.done():
                signals.end(number)
            else:
                ended = number
                task.cancel()
            loop.call_soon_threadsafe(lambda: None)  # wakes it up

        before = signals.handled(on_signal)
        try:
            return runner.run(noted())
        except asyncio.CancelledError:
            if ended:
                signals.end(ended)
            raise
        finally:
            signals.restore(before)
