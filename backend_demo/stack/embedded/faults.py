"""Faults in the processes of the embedded stack.

As a program (`python -m backend_demo.stack.embedded.faults DIRECTORY PROGRAM...`) it starts programs again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.domain.fault import FaultKind
from backend_demo.errors import NoStack
from backend_demo.stack.embedded.supervisor import ProcessInfo, Supervisor
from backend_demo.stack.services.service import Service
from backend_demo.stack.services.table import SERVICES, shown
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.threads import at_once
from backend_demo.stack.undo import Undo

if TYPE_CHECKING:
    import psutil


class EmbeddedFaults:
    """A `FaultMaker` of child processes; what ends is started again by the supervisor."""

    def __init__(self, state: StateDirectory) -> None:
        self.state = state
        self._supervisor = Supervisor(state)

    @property
    def table(self) -> Mapping[str, Service]:
        """As `FaultMaker.table`."""
        return SERVICES

    def running(self) -> list[str]:
        """As `FaultMaker.running`."""
        if not self._supervisor.runs():
            raise NoStack(self.state.path)
        processes = self._supervisor.processes()
        running = {name for name, process in processes.items() if process.pid is not None}
        return [name for name in shown(self.state.record.copies(), ()) if name in running]

    @contextlib.contextmanager
    def fault(self, kind: FaultKind, copies: Collection[str], *, held: bool) -> Iterator[None]:
        """As `FaultMaker.fault`."""
        known = self._supervisor.processes()
        processes = [known[name] for name in copies]
        if kind == "pause":
            with Undo("kill", "-CONT") as undo:
                for each in processes:
                    _freeze(each.pid, undo)
                yield
        elif kind == "kill" and not held:
            for each in processes:
                _signal(each, signal.SIGKILL)
            yield
        else:
            end = self._keep_down if kind == "kill" else self._supervisor.stop
            with Undo(sys.executable, "-m", __name__, str(self.state.path)) as undo:
                for each in processes:
                    undo.note(each.name)
                at_once({each.name: partial(end, each) for each in processes}, threading.Event())
                yield

    def _keep_down(self, process: ProcessInfo) -> None:
        """Kills a process that the supervisor is not to start again: it is told so when the process can do nothing."""
        _signal(process, signal.SIGSTOP)
        self._supervisor.ask_to_stop(process)
        _signal(process, signal.SIGKILL)
        self._supervisor.stop(process)


def _signal(process: ProcessInfo, number: signal.Signals) -> None:
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _freeze(pid: int | None, undo: Undo) -> None:
    """Stops a process and all that descends from it: the processes of PostgreSQL are in sessions of their own."""
    import psutil

    seen: set[int] = set()
    left: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        left = [psutil.Process(pid)]
    while left:
        process = left.pop()
        if process.pid in seen:
            continue
        seen.add(process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            undo.note(str(process.pid))
            process.suspend()
            left += process.children()  # after it has been stopped: it starts no more


def main() -> None:
    """Starts programs of the supervisor, if it still runs; one that stands still goes on."""
    directory, *names = sys.argv[1:]
    supervisor = Supervisor(StateDirectory(Path(directory)))
    if supervisor.runs():
        processes = supervisor.processes()
        for name in names:
            _signal(processes[name], signal.SIGCONT)
            supervisor.start(processes[name])


if __name__ == "__main__":
    main()
