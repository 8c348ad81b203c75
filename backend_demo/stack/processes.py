"""Processes of a stack that nobody supervises any more: found by what they carry, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from backend_demo.errors import UnknownName
from backend_demo.stack.services import copy_of


def children_of(server_url: str) -> list[tuple[str, psutil.Process]]:
    """Processes that the supervisor at that URL started, and theirs, with the program's name.

    They carry it in their environment, live on when the supervisor is killed, and a new one would start second copies.
    """
    found = []
    for process in _all():
        environment = _environment(process)
        if environment.get("SUPERVISOR_SERVER_URL") == server_url:
            found.append((environment.get("SUPERVISOR_PROCESS_NAME", ""), process))
    return found


def postgres_in(data: Path) -> list[psutil.Process]:
    """PostgreSQL's processes in that data directory. A busy backend survives its postmaster and blocks the next one."""
    folder = data.resolve()
    return [process for process in _all() if _works_in(process, folder)]


def end_leftovers(server_url: str, data: Path) -> bool:
    """Ends what is left of a stack: its services, its servers, busy PostgreSQL backends. False: nothing was."""
    children = children_of(server_url)
    ours = [process for name, process in children if _is_ours(name)]
    databases = [process for name, process in children if name == "postgres"]
    end(ours)
    end(process for _, process in children if process not in (*ours, *databases))
    end(databases, first=signal.SIGINT)  # SIGTERM would wait for the clients
    backends = postgres_in(data)
    end(backends, first=signal.SIGQUIT, grace_s=2.0)
    (data / "postmaster.pid").unlink(missing_ok=True)
    return bool(children or backends)


def end(processes: Iterable[psutil.Process], *, first: signal.Signals = signal.SIGTERM, grace_s: float = 10.0) -> None:
    """Sends `first`, after `grace_s` SIGKILL, and waits. A process whose number was given away again is left alone."""
    left = [process for process in processes if _lives(process)]
    for number, wait_s in ((first, grace_s), (signal.SIGKILL, 5.0)):
        for process in left:
            _send(process, number)
        deadline = time.monotonic() + wait_s
        while (left := [process for process in left if _lives(process)]) and time.monotonic() < deadline:
            time.sleep(0.02)


def _is_ours(program: str) -> bool:
    """Whether a program of supervisord is a service of ours."""
    with contextlib.suppress(UnknownName):
        return copy_of(program)[0].ours
    return False


def _all() -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if process.pid != os.getpid()]


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended and is not waited for (in a container without an init) does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        # the name as well: somebody's shell may stand in that folder
        return process.name() == "postgres" and Path(process.cwd()) == folder
    except (psutil.Error, OSError):
        return False


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # psutil compares the start time first
