"""Password checks in a thread of their own, at a low priority: guessing passwords must not slow readings down."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from backend_demo.mqtt.waiting import FairQueue

#: Most checks that wait: at 50 ms each, the last one waits for 13 s.
WAITING_MAX = 256
#: Most that wait from one address, and of one user there.
WAITING_PER_ORIGIN = 64
WAITING_PER_NAME = 32

#: Niceness of the thread. Linux gives each thread its own; elsewhere the thread has that of the process.
NICENESS = 10


class CheckBusy(Exception):
    """Too many password checks wait; the client may try again later."""


@dataclass(eq=False)
class _Check:
    key: bytes
    origin: str
    name: str
    work: Callable[[], bool]
    result: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    waiting: int = 0


class PasswordChecks:
    """Runs one check at a time. Belongs to one event loop; `close` ends the thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "password-checks", initializer=_lower_priority)
        self._queue: FairQueue[_Check] = FairQueue(WAITING_MAX, WAITING_PER_ORIGIN, WAITING_PER_NAME)
        self._checks: dict[bytes, _Check] = {}
        self._running: _Check | None = None

    def close(self) -> None:
        """Ends the thread after the check that is running; the others are cancelled."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        while (check := self._queue.take()) is not None:
            check.result.cancel()

    async def run(self, key: bytes, work: Callable[[], bool], *, origin: str, name: str) -> bool:
        """Returns what `work` returns, in the thread; clients that ask with the same key share one check.

        Raises CheckBusy.
        """
        check = self._checks.get(key)
        if check is None:
            check = _Check(key, origin, name, work)
            if not self._queue.add(origin, name, check):
                raise CheckBusy
            self._checks[key] = check
            self._next()
        check.waiting += 1
        try:
            return await asyncio.shield(check.result)  # a client that leaves must not end it for the others
        finally:
            check.waiting -= 1
            if not check.waiting and check is not self._running and self._checks.get(key) is check:
                self._queue.remove(check.origin, check.name, check)
                del self._checks[key]

    def _next(self) -> None:
        if self._running is not None:
            return
        check = self._queue.take()
        if check is not None:
            self._running = check
            done = asyncio.get_running_loop().run_in_executor(self._thread, check.work)
            done.add_done_callback(partial(self._finish, check))

    def _finish(self, check: _Check, done: asyncio.Future[bool]) -> None:
        self._running = None
        del self._checks[check.key]
        if done.cancelled():
            check.result.cancel()
            return
        if (problem := done.exception()) is not None:
            check.result.set_exception(problem)
        else:
            check.result.set_result(done.result())
        self._next()


def _lower_priority() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
