"""Signals that end a command in order."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from types import FrameType
from typing import Any

#: A request to end, a terminal that closes.
REQUESTS = (signal.SIGTERM, signal.SIGHUP)

#: These, and Ctrl-C.
ENDING = (signal.SIGINT, *REQUESTS)


def handled(handler: Callable[[int, FrameType | None], Any], numbers: Collection[int] = REQUESTS) -> dict[int, Any]:
    """Sets the handler of these signals; returns the ones before. One that is ignored, as nohup does, stays so."""
    return {number: signal.signal(number, handler) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}


def restore(handlers: dict[int, Any]) -> None:
    """Sets the handlers that `handled` has returned."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


def end(number: int, frame: FrameType | None = None) -> None:
    """Unwinds the command, so that it cleans up. Raises SystemExit."""
    if number == signal.SIGHUP:
        _let_go_of_the_terminal()
    sys.exit(128 + number)


def _let_go_of_the_terminal() -> None:
    """It has gone: what a command prints while it cleans up must not end that."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):  # closed
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                os.dup2(nowhere, descriptor)


@contextlib.contextmanager
def first_stops(stop: threading.Event) -> Iterator[list[int]]:
    """The first ending signal sets `stop` and is kept in the list; a second one ends at once."""
    received: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        if number == signal.SIGHUP:
            _let_go_of_the_terminal()
        stop.set()

    before = handled(on_signal, ENDING)
    try:
        yield received
    finally:
        restore(before)
