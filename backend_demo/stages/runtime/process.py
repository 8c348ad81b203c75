"""A service as a process: its event loop, its signals, its fail points, and an end that comes even when it hangs."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog
import uvloop

from backend_demo.stages.runtime.failpoints import FailPoints

log = structlog.get_logger(__name__)

#: Time for a clean end, seconds; the supervisor kills after ten.
STOP_LIMIT_S = 8.0

#: Kafka gives the partitions of a member that is silent for ten seconds to another one, and the last heartbeat may be
#: three seconds old when the process is stopped.
SUSPENDED_LIMIT_S = 6.0

#: Time for `before_end`, seconds: the supervised copy must be ready again within it.
BEFORE_END_LIMIT_S = 90.0

#: Session id of a container's first process.
_CONTAINER_SESSION = 1

Main = Callable[[asyncio.Event], Awaitable[None]]
"""Runs a service until the event is set."""


class ServiceProcess:
    """The process of one service; its parts get this object, and end the process through it.

    `debug_failures`: a failure opens the debugger before it ends the process (`bdemo run --pdb`). `before_end`: called
    before every end, to release what the process holds and bring the supervised copy back (`bdemo run`).
    """

    def __init__(
        self,
        *,
        debug_failures: bool = False,
        before_end: Callable[[], None] | None = None,
        failpoint: str = "",
        suspended_limit_s: float = SUSPENDED_LIMIT_S,
    ) -> None:
        self.failpoints = FailPoints(failpoint)
        self._debug_failures = debug_failures
        self._before_end = before_end
        self._suspended_limit_s = suspended_limit_s
        self._alive_at: float | None = None
        """When the event loop was last known to run."""

    def run(self, main: Main, *, owner: bool = True) -> int:
        """Runs `main(stop)` until it returns; SIGTERM, SIGINT and SIGHUP set `stop`. Returns 0, 143, 130 or 129.

        `owner`: the service owns partitions or a session that another process takes over when this one is suspended
        for long; it ends itself then.
        """
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._supervise(main, owner))

    async def _supervise(self, main: Main, owner: bool) -> int:
        stop = asyncio.Event()
        code = 0

        def on_signal(number: signal.Signals) -> None:
            nonlocal code
            code = 128 + number
            if stop.is_set():
                self.end_now(code)
            stop.set()
            loop.call_later(STOP_LIMIT_S, self.end_now, code)

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, on_signal, number)
        if owner:
            self._end_when_suspended_for_long(loop)
        gc.freeze()  # imported objects stay for good: the collector need not examine them again
        gc.enable()
        gc.set_threshold(50_000, 50, 100)
        await main(stop)
        return code

    def _end_when_suspended_for_long(self, loop: asyncio.AbstractEventLoop) -> None:
        """Covers SIGSTOP and SIGCONT, and the freezer of containers, which sends no signal.

        SIGCONT has a plain handler, because it runs before anything else does; the loop's would wait for its turn.
        """

        def beat() -> None:
            self.end_if_suspended()
            self._alive_at = time.monotonic()
            loop.call_later(0.5, beat)

        beat()
        signal.signal(signal.SIGCONT, lambda *_: self.end_if_suspended(signalled=True))

    def end_if_suspended(self, *, signalled: bool = False) -> None:
        """Ends a process that was suspended for long, before it writes over what the partitions' new owner has written.

        Under `bdemo run`, time may have passed at a breakpoint: only a signal counts there.
        """
        if self._alive_at is None or (self._before_end is not None and not signalled):
            return
        seconds = time.monotonic() - self._alive_at
        if seconds > self._suspended_limit_s:
            try:
                log.error("was suspended, another process may own its partitions", seconds=round(seconds, 1))
            finally:
                self.end_now(1)

    def owns_nothing_yet(self) -> None:
        """Forgets how long it stood still: on a busy machine, imports alone may take longer than is allowed later."""
        if self._alive_at is not None:
            self._alive_at = time.monotonic()

    def fail(self) -> None:
        """Ends the process with 1 because of the exception being handled, so that nothing is acknowledged after it."""
        log.exception("failed")
        if self._debug_failures:
            import pdb

            pdb.post_mortem()
        self.end_now(1)

    def end_now(self, code: int) -> None:
        """Ends the process without waiting for its work."""
        if self._before_end is not None:
            # in another thread: this one's event loop never runs again
            last = threading.Thread(target=self._before_end, daemon=True)
            last.start()
            last.join(BEFORE_END_LIMIT_S)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def give_way(niceness: int) -> None:
    """Lets processes of a lower niceness go first when CPU is short."""
    os.nice(niceness)
    # Linux may share the CPU among sessions first, and each session has a niceness too. In a container the session is
    # that of one service. An embedded stack is one session, which must not give way to all other programs.
    if os.getsid(0) in (os.getpid(), _CONTAINER_SESSION):
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness))
