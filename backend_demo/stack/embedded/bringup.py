"""Brings services of a running supervisor to readiness, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from backend_demo.errors import ServiceFailed, TimedOut
from backend_demo.stack import logfiles, probes, time_limits
from backend_demo.stack.base import LeftOut, Report, ServiceStatus
from backend_demo.stack.embedded.supervisor import ProcessState, Supervisor
from backend_demo.stack.services.round_trip import HOST
from backend_demo.stack.services.service import ServerAccess
from backend_demo.stack.services.table import copy_of
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.threads import Stopped, at_once

POLL_S = 0.2
#: Age at which an answer of supervisord is renewed, seconds: asking costs both sides 5 ms, so all threads share it.
LOOK_EVERY_S = 0.5


class Waiting:
    """Waits for services of a running supervisor, until `stop` is set."""

    def __init__(self, state: StateDirectory, supervisor: Supervisor, deadline: float) -> None:
        self.state = state
        self.supervisor = supervisor
        self.deadline = deadline
        self.stop = threading.Event()
        self._look = threading.Lock()
        self._looked_at = -LOOK_EVERY_S
        self._states: dict[str, ProcessState] = {}

    def until_ready(self, name: str, *, limit_s: float | None = None) -> None:
        """Waits until a service can do its work. Raises ServiceFailed, TimedOut, Stopped."""
        self.until(name, partial(self.is_ready, name), limit_s=limit_s)

    def until_ready_together(self, names: Collection[str]) -> None:
        """Waits until one look finds all of these ready. Raises ServiceFailed, TimedOut, Stopped.

        Each may have been ready before and be so no longer: a copy that joins a consumer group takes partitions away
        from the others.
        """
        with ThreadPoolExecutor(len(names)) as pool:
            while True:
                missing = [name for name, ready in zip(names, pool.map(self.is_ready, names), strict=True) if not ready]
                if not missing:
                    return
                self._pause(missing[0], self.deadline)

    def until(self, name: str, condition: Callable[[], bool], *, limit_s: float | None = None) -> None:
        """Waits for a condition of a service. Raises ServiceFailed when it keeps failing, TimedOut, Stopped."""
        deadline = self.deadline if limit_s is None else time.monotonic() + limit_s
        while not condition():
            self._pause(name, deadline)

    def is_ready(self, name: str) -> bool:
        """Whether a service can do its work now."""
        return probes.is_ready(name, self.state.record.settings(), self.state)

    def _pause(self, name: str, deadline: float) -> None:
        """Lets some time pass. Raises ServiceFailed, TimedOut, Stopped when there is no more use in waiting."""
        if self._given_up(name):
            last = (logfiles.last_errors(self.state.log_of(name)) or "its log is empty").splitlines()[-1]
            raise ServiceFailed(f"{name} failed: {last}", hint=f"see: bdemo logs {name}")
        if time.monotonic() > deadline:
            raise TimedOut(f"{name} is not ready in the time given", hint=f"see: bdemo logs {name}")
        if self.stop.wait(POLL_S):
            raise Stopped

    def _given_up(self, name: str) -> bool:
        """Whether the supervisor starts it no more, since it ended too often."""
        with self._look:
            if time.monotonic() - self._looked_at > LOOK_EVERY_S:
                self._states = {process.name: process.state for process in self.supervisor.processes().values()}
                self._looked_at = time.monotonic()
            return self._states[name] == "FATAL"


class BringUp:
    """Brings services to readiness and reports their progress. `started` are those that did not run before."""

    def __init__(self, waiting: Waiting, report: Report, started: Collection[str]) -> None:
        self.restarted: set[str] = set()
        """Those that ran before, did not answer and were restarted."""
        self.left_out: list[LeftOut] = []
        """Optional ones that did not become ready."""
        self._waiting = waiting
        self._report = report
        self._started = started
        self._ready: dict[str, threading.Event] = {}

    def run(self, services: Collection[str], optional: Collection[str] = ()) -> None:
        """Returns when all are ready together. Raises ServiceFailed, TimedOut, except for those that are optional."""
        self._ready = {name: threading.Event() for name in services}
        needed = [name for name in services if name not in optional]
        if needed:
            at_once({name: partial(self._bring_up, name) for name in needed}, self._waiting.stop)
        for name in services:
            if name in optional:
                self._wait_briefly(name)
        if needed:
            self._waiting.until_ready_together(needed)

    def _wait_briefly(self, name: str) -> None:
        """Waits a little for an optional service: it was started with the others and is ready long before them."""
        try:
            if not self._ran_ready(name):
                self._waiting.until_ready(name, limit_s=time_limits.OPTIONAL_S)
                self._report(ServiceStatus(name, "ready"))
        except (ServiceFailed, TimedOut) as problem:
            self.left_out.append(LeftOut(name, f"{problem.message}; {problem.hint}"))
            self._report(ServiceStatus(name, "failed", detail=self.left_out[-1].reason))

    def _ran_ready(self, name: str) -> bool:
        """Whether it ran before and is ready; reports it if so."""
        if name in self._started or not self._waiting.is_ready(name):
            return False
        lost = self._provision(name) if copy_of(name)[0].may_lose else ""
        self._report(ServiceStatus(name, "ready", already_running=True, detail=lost))
        return True

    def _bring_up(self, name: str) -> None:
        if self._ran_ready(name):
            self._ready[name].set()
            return
        for need in copy_of(name)[0].needs:
            if not self._ready[need].is_set():
                self._report(ServiceStatus(name, "waiting", detail=f"waiting for {need}"))
            while not self._ready[need].wait(POLL_S):
                if self._waiting.stop.is_set():
                    raise Stopped
        self._report(ServiceStatus(name, "starting"))
        if name not in self._started:
            self._restart_if_hung(name)
        lost = self._provision(name)
        self._waiting.until_ready(name)
        self._report(ServiceStatus(name, "ready", detail=lost))
        self._ready[name].set()

    def _restart_if_hung(self, name: str) -> None:
        supervisor = self._waiting.supervisor
        process = supervisor.processes()[name]
        if process.uptime_s is None or process.uptime_s < time_limits.PATIENCE_S:
            return
        try:
            self._waiting.until_ready(name, limit_s=time_limits.HUNG_S)
        except TimedOut:
            self.restarted.add(name)
            self._report(ServiceStatus(name, "starting", detail="did not answer: restarted"))
            supervisor.stop(process)
            supervisor.start(process)

    def _provision(self, name: str) -> str:
        """Makes what a server must hold before services can use it, topics, roles and tables; what had been lost."""
        service, state = copy_of(name)[0], self._waiting.state
        if service.provision is None:
            return ""
        access = ServerAccess(HOST, state.record.settings(), state.secrets.of, state.path)
        if service.accepts is None:
            self._waiting.until_ready(name)
        else:
            self._waiting.until(name, partial(service.accepts, access))
        return service.provision(access) or ""
