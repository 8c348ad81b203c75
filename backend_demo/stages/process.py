"""A service as a process: its event loop, its signals, and an end that comes whatever hangs."""

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

log = structlog.get_logger(__name__)

#: The supervisor kills after ten seconds.
STOP_LIMIT_S = 8.0

#: Kafka gives the partitions of a member that is silent for ten seconds to another one; its last heartbeat may be
#: three seconds old when the process is stopped.
SUSPENDED_LIMIT_S = 6.0

#: The session of a container's first process.
_CONTAINER_SESSION = 1

#: When the event loop was last known to turn.
_alive_at: float | None = None

#: Set by `bdemo run --pdb`: a failure opens the debugger before it ends the process.
debug_failures = False

#: Set by `bdemo run`: gives back what the process holds, and brings the supervised copy back.
before_end: Callable[[], None] | None = None

#: That copy must be ready again within this time.
BEFORE_END_LIMIT_S = 90.0


def run(main: Callable[[asyncio.Event], Awaitable[None]], *, owner: bool = True) -> int:
    """Runs `main(stop)` until it returns; SIGTERM, SIGINT and SIGHUP set `stop`. The exit code: 0, 143, 130 or 129.

    `owner`: of partitions or of a session, which go to another one when it stands still; so it ends itself then.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_supervise(main, owner))


async def _supervise(main: Callable[[asyncio.Event], Awaitable[None]], owner: bool) -> int:
    stop = asyncio.Event()
    code = 0

    def on_signal(number: signal.Signals) -> None:
        nonlocal code
        code = 128 + number
        if stop.is_set():
            end_now(code)
        stop.set()
        loop.call_later(STOP_LIMIT_S, end_now, code)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal, number)
    if owner:
        _end_when_suspended_for_long(loop)
    gc.freeze()  # what is imported stays: the collector need not look at it again
    gc.enable()
    gc.set_threshold(50_000, 50, 100)
    await main(stop)
    return code


def _end_when_suspended_for_long(loop: asyncio.AbstractEventLoop) -> None:
    """After SIGSTOP and SIGCONT, and after the freezer of containers, which sends no signal.

    A plain signal handler, as it runs before anything else does; the loop's would wait for its turn.
    """

    def beat() -> None:
        global _alive_at
        end_if_suspended()
        _alive_at = time.monotonic()
        loop.call_later(0.5, beat)

    beat()
    signal.signal(signal.SIGCONT, lambda *_: end_if_suspended(signalled=True))


def end_if_suspended(*, signalled: bool = False) -> None:
    """Ends a process that stood still for long: before it writes what the new owner of its partitions knows better.

    Under `bdemo run` a person may stand at a breakpoint: then only when a signal says it.
    """
    if _alive_at is None or (before_end is not None and not signalled):
        return
    seconds = time.monotonic() - _alive_at
    if seconds > SUSPENDED_LIMIT_S:
        try:
            log.error("was suspended, another may have its partitions", seconds=round(seconds, 1))
        finally:
            end_now(1)


def give_way(niceness: int) -> None:
    """Lets processes of a lower niceness go first when there is too little CPU."""
    os.nice(niceness)
    # Where Linux shares the CPU among sessions first, a session has a niceness of its own: in a container it is that of
    # one service. Embedded, all of the stack is one session, which must not give way to all others.
    if os.getsid(0) in (os.getpid(), _CONTAINER_SESSION):
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness))


def fail() -> None:
    """Ends the process with 1 because of the exception that is being handled: nothing of it was acknowledged."""
    log.exception("failed")
    if debug_failures:
        import pdb

        pdb.post_mortem()
    end_now(1)


def end_now(code: int) -> None:
    """Ends the process without waiting for anything that it does."""
    if before_end is not None:
        # in a thread of its own: this one's event loop has stopped for good
        last = threading.Thread(target=before_end, daemon=True)
        last.start()
        last.join(BEFORE_END_LIMIT_S)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
