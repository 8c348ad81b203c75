"""Ends processes of this machine, and waits until they are gone."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable

import psutil


def end(processes: Iterable[psutil.Process], *, first: signal.Signals = signal.SIGTERM, grace_s: float = 10.0) -> None:
    """Sends `first`, SIGKILL after `grace_s`, and waits. Leaves a process alone whose number has been reused."""
    left = [process for process in processes if _lives(process)]
    for number, wait_s in ((first, grace_s), (signal.SIGKILL, 5.0)):
        for process in left:
            _send(process, number)
        deadline = time.monotonic() + wait_s
        while (left := [process for process in left if _lives(process)]) and time.monotonic() < deadline:
            time.sleep(0.02)


def all_others() -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if process.pid != os.getpid()]


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not (a container without an init keeps them)."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # psutil compares the start time first
