"""Services on their way to readiness, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar

from backend_demo.errors import ServiceFailed, TimedOut
from backend_demo.stack import logfiles, probes
from backend_demo.stack.base import Report, ServiceStatus
from backend_demo.stack.services import copy_of
from backend_demo.stack.state import StateDirectory
from backend_demo.stack.supervisor import ProcessState, Supervisor

T = TypeVar("T")

POLL_S = 0.2
#: Asking supervisord costs both sides 5 ms: its answer serves all who wait.
LOOK_EVERY_S = 0.5
#: A service waits that long for its servers, and a killed Kafka needs up to 10 s: until then it is `starting`.
PATIENCE_S = 60.0
#: What `up` gives a service that has run for longer and does not answer, before it restarts it.
HUNG_S = 10.0


#: How long `up` waits for what is optional, once all else is ready.
OPTIONAL_S = 5.0


class Stopped(Exception):
    """Another part failed or the user gave up: this one is not to go on."""


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

    def until(self, name: str, condition: Callable[[], bool], *, limit_s: float | None = None) -> None:
        """Waits for something of a service. Raises ServiceFailed when supervisor gave it up, TimedOut, Stopped."""
        deadline = self.deadline if limit_s is None else time.monotonic() + limit_s
        while not condition():
            if self._given_up(name):
                last = (logfiles.last_errors(self.state.log_of(name)) or "its log is empty").splitlines()[-1]
                raise ServiceFailed(f"{name} failed: {last}", hint=f"see: bdemo logs {name}")
            if time.monotonic() > deadline:
                raise TimedOut(f"{name} is not ready in the time given", hint=f"see: bdemo logs {name}")
            if self.stop.wait(POLL_S):
                raise Stopped

    def is_ready(self, name: str) -> bool:
        """Whether a service can do its work, now."""
        return probes.is_ready(name, self.state.saved(), self.state)

    def _given_up(self, name: str) -> bool:
        with self._look:
            if time.monotonic() - self._looked_at > LOOK_EVERY_S:
                self._states = {process.name: process.state for process in self.supervisor.processes().values()}
                self._looked_at = time.monotonic()
            return self._states[name] == "FATAL"


class BringUp:
    """Brings services to readiness; says what each is at. `started`: those of them that did not run before."""

    def __init__(self, waiting: Waiting, report: Report, started: Collection[str]) -> None:
        self._waiting = waiting
        self._report = report
        self._started = started
        self._ready: dict[str, threading.Event] = {}

    def run(self, services: Collection[str], optional: Collection[str] = ()) -> None:
        """Returns when all of them are ready. Raises ServiceFailed, TimedOut, but not for those that are optional."""
        self._ready = {name: threading.Event() for name in services}
        needed = [name for name in services if name not in optional]
        if needed:
            at_once({name: partial(self._bring_up, name) for name in needed}, self._waiting.stop)
        for name in services:
            if name in optional:
                self._look_after(name)

    def _look_after(self, name: str) -> None:
        """Waits a little for something optional, which was started with the others and is ready long before them."""
        try:
            if name in self._started or not self._waiting.is_ready(name):
                self._waiting.until_ready(name, limit_s=OPTIONAL_S)
                self._report(ServiceStatus(name, "ready"))
            else:
                self._report(ServiceStatus(name, "ready", detail="was running"))
        except (ServiceFailed, TimedOut) as problem:
            self._report(ServiceStatus(name, "failed", detail=f"{problem.message}; {problem.hint}"))

    def _bring_up(self, name: str) -> None:
        if name not in self._started and self._waiting.is_ready(name):
            self._report(ServiceStatus(name, "ready", detail="was running"))
            self._ready[name].set()
            return
        for need in copy_of(name)[0].needs:
            if not self._ready[need].is_set():
                self._report(ServiceStatus(name, "waiting", detail=f"waits for {need}"))
            while not self._ready[need].wait(POLL_S):
                if self._waiting.stop.is_set():
                    raise Stopped
        self._report(ServiceStatus(name, "starting"))
        if name not in self._started:
            self._restart_if_hung(name)
        self._provision(name)
        self._waiting.until_ready(name)
        self._report(ServiceStatus(name, "ready"))
        self._ready[name].set()

    def _restart_if_hung(self, name: str) -> None:
        supervisor = self._waiting.supervisor
        process = supervisor.processes()[name]
        if process.uptime_s is None or process.uptime_s < PATIENCE_S:
            return
        try:
            self._waiting.until_ready(name, limit_s=HUNG_S)
        except TimedOut:
            self._report(ServiceStatus(name, "starting", detail="did not answer: restarted"))
            supervisor.stop(process)
            supervisor.start(process)

    def _provision(self, name: str) -> None:
        """What a server must hold before services can use it: topics, a limit of its store, roles and tables."""
        from backend_demo.stack.servers import kafka, mqtt, postgres
        from backend_demo.storage import revision

        state, saved = self._waiting.state, self._waiting.state.saved()
        if name == "kafka":
            self._waiting.until_ready(name)
            kafka.create_topics(saved["kafka_bootstrap"])
        elif name == "mqtt":
            self._waiting.until_ready(name)
            mqtt.cap_store(saved["nats_port"], state)
        elif name == "postgres":
            port = saved["postgres_port"]
            self._waiting.until(name, lambda: postgres.answers(port, state))
            if postgres.provision(port, state) != revision.newest():
                from backend_demo.storage.migrate import upgrade

                upgrade(state.postgres_dsn("bdemo"))


def at_once(tasks: Mapping[str, Callable[[], T]], stop: threading.Event) -> dict[str, T]:
    """Runs tasks in threads; when one fails, `stop` is set, the others are waited for, and its error is raised."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        futures = {name: pool.submit(task) for name, task in tasks.items()}
        try:
            wait(futures.values(), return_when=FIRST_EXCEPTION)
        except BaseException:
            stop.set()
            raise
        if any(future.done() and future.exception() for future in futures.values()):
            stop.set()
    problems = [problem for future in futures.values() if (problem := future.exception())]
    for problem in sorted(problems, key=lambda problem: isinstance(problem, Stopped)):
        raise problem
    return {name: future.result() for name, future in futures.items()}
