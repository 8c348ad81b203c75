"""EmbeddedStack: servers and services as child processes, under supervisor."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from backend_demo.errors import ConfigurationInvalid, NoStack, ServiceFailed, TimedOut
from backend_demo.stack import logfiles, probes
from backend_demo.stack.base import LogLine, Report, ServiceStatus, State
from backend_demo.stack.services import SERVICES, service
from backend_demo.stack.state import CONTENTS, StateDirectory
from backend_demo.stack.supervisor import ProcessInfo, ProcessState, Program, Supervisor

if TYPE_CHECKING:
    from backend_demo.settings import Settings

T = TypeVar("T")

POLL_S = 0.1
LOOK_EVERY_S = 0.5
#: How long `up` and `down` wait for one another.
LOCK_WAIT_S = 15.0
#: A service waits that long for its servers, and a killed Kafka needs up to 10 s: until then it is `starting`.
PATIENCE_S = 60.0
#: What `up` gives a service that runs and does not answer, before it restarts it.
HUNG_S = 10.0


class EmbeddedStack:
    """A `Stack` of child processes. All but `up` needs the state directory only."""

    def __init__(self, state_dir: Path, settings: Settings | None = None, *, any_port: bool = False) -> None:
        self.state = StateDirectory(state_dir)
        self.supervisor = Supervisor(self.state)
        self._settings = settings
        self._any_port = any_port
        self._look = threading.Lock()
        self._looked_at = -LOOK_EVERY_S
        self._states: dict[str, ProcessState] = {}

    # -- up

    def up(self, services: Collection[str], report: Report) -> None:
        """As `Stack.up`. Interrupted while it starts a new stack, it stops what it started.

        A stack of which a service failed is left running: `status` and `logs` show why, and another `up` mends it.
        """
        wanted = with_needs(services)
        self.state.create()
        with self.state.lock("stack", wait_s=LOCK_WAIT_S):
            new = not self.supervisor.runs()
            try:
                if new:
                    self._launch(wanted, report)
                self._bring_up(wanted, report, new=new)
            except BaseException as problem:
                if new and not isinstance(problem, ServiceFailed | TimedOut):
                    for name in wanted:
                        report(ServiceStatus(name, "stopped"))
                    self._stop_all()
                raise

    def _launch(self, wanted: Collection[str], report: Report) -> None:
        """Starts a supervisor that knows every program and runs none yet."""
        from backend_demo.stack import ports

        self._end_leftovers()
        settings = self._chosen_ports()
        ports.check_free(settings, wanted)
        programs = self._prepare(settings, report)
        self.state.save(settings)
        self.supervisor.launch(programs)

    def _chosen_ports(self) -> Settings:
        from backend_demo import settings as settings_module
        from backend_demo.stack import ports

        settings = self._settings or settings_module.load(state_dir=self.state.path)
        return ports.free(settings) if self._any_port else ports.shifted(settings)

    def _prepare(self, settings: Settings, report: Report) -> list[Program]:
        """What must be there before the first process: Kafka's jars, PostgreSQL's cluster, configurations."""
        from backend_demo.stack.servers import kafka, mqtt, postgres

        stop = threading.Event()

        def fetched(detail: str) -> None:
            if stop.is_set():
                raise _Stopped
            report(ServiceStatus("kafka", "fetching", detail=detail))

        def fetched_kafka() -> Program:
            kafka.fetch(fetched)
            return kafka.prepare(settings, self.state)

        servers = _at_once(
            {
                "kafka": fetched_kafka,
                "mqtt": lambda: mqtt.prepare(settings, self.state),
                "postgres": lambda: postgres.prepare(settings.postgres_port, self.state),
            },
            stop,
        )
        ours = [name for name, service in SERVICES.items() if service.ours]
        return [*servers.values(), kafka.cache_program(), *(_program(name, self.state.path) for name in ours)]

    def _bring_up(self, wanted: Collection[str], report: Report, *, new: bool) -> None:
        """Starts what does not run, all at once: each waits by itself for what it needs."""
        from backend_demo.stack.servers import kafka

        processes = self.supervisor.processes()
        for name in wanted:
            if processes[name].pid is None:
                self.supervisor.start(processes[name])
        stop = threading.Event()
        deadline = time.monotonic() + float(self.state.saved()["up_timeout_s"])
        climb = _Climb(self, report, deadline, stop, {name: threading.Event() for name in wanted}, new)
        _at_once({name: partial(climb.to_readiness, name) for name in wanted}, stop)
        if not kafka.start_up_cache().exists():
            self.supervisor.start(processes[kafka.CACHE])

    # -- down

    def down(self, *, wipe: bool = False) -> bool:
        """As `Stack.down`: services, then servers; then whatever a killed supervisor left behind."""
        if not self.state.path.exists():
            return False
        with self.state.lock("stack", wait_s=LOCK_WAIT_S):
            ran = self._stop_all()
            if wipe:
                self._wipe()
        if wipe:
            for folder in (self.state.locks, self.state.path):
                with contextlib.suppress(OSError):  # somebody else's files stay
                    folder.rmdir()
        return ran

    def _stop_all(self) -> bool:
        ran = self.supervisor.runs()
        if ran:
            self.supervisor.shut_down()
        ran = self._end_leftovers() or ran
        self.state.forget()
        self.state.remove_dead_locks()
        shutil.rmtree(self.state.sockets, ignore_errors=True)
        return ran

    def _end_leftovers(self) -> bool:
        """Ends what a killed or hung supervisor left: its services, its servers, busy PostgreSQL backends."""
        from backend_demo.stack import processes

        hung = self.supervisor.process()
        processes.end([hung] if hung else [], grace_s=0.0)
        children = processes.children_of(self.supervisor.url)
        data = self.state.path / "postgres" / "data"
        ours = [process for name, process in children if name in SERVICES and SERVICES[name].ours]
        databases = [process for name, process in children if name == "postgres"]
        others = [process for _, process in children if process not in (*ours, *databases)]
        processes.end(ours)
        processes.end(others)
        processes.end(databases, first=signal.SIGINT)  # SIGTERM would wait for the clients
        backends = processes.postgres_in(data)
        processes.end(backends, first=signal.SIGQUIT, grace_s=2.0)
        (data / "postmaster.pid").unlink(missing_ok=True)
        self.supervisor.clean()
        return bool(hung or children or backends)

    def _wipe(self) -> None:
        """Deletes the stack's own files. Raises ConfigurationInvalid when one is a link to somewhere else."""
        paths = [self.state.path / name for name in CONTENTS if name != self.state.locks.name]
        for path in paths:
            if path.is_symlink():
                raise ConfigurationInvalid(
                    f"{path} is a link: not deleted", hint="remove the link and what it points to"
                )
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    # -- looking at it

    def status(self) -> list[ServiceStatus]:
        """As `Stack.status`: asks every service, all at once."""
        addresses = self.state.saved()
        if not self.supervisor.runs():
            return self._unsupervised()
        infos, restarts = self.supervisor.processes(), self.supervisor.restarts()

        def look(name: str) -> ServiceStatus:
            ready = infos[name].pid is not None and probes.is_ready(name, addresses, self.state)
            return self._status(infos[name], ready, restarts[name])

        with ThreadPoolExecutor(len(SERVICES)) as pool:
            return list(pool.map(look, SERVICES))

    def _status(self, info: ProcessInfo, ready: bool, restarts: int) -> ServiceStatus:
        state = _state(info, ready)
        failing = state in ("failed", "unhealthy") or info.state == "BACKOFF"
        return ServiceStatus(
            info.name,
            state,
            pid=info.pid,
            uptime_s=info.uptime_s,
            rss_bytes=_resident_bytes(info.pid),
            restarts=restarts,
            error=self.last_errors(info.name) if failing else None,
        )

    def _unsupervised(self) -> list[ServiceStatus]:
        """What a killed supervisor left. Raises NoStack when that is nothing."""
        from backend_demo.stack import processes

        pids = {name: process.pid for name, process in reversed(processes.children_of(self.supervisor.url))}
        if not pids:
            raise NoStack(self.state.path)
        error = "the supervisor was killed; mend it with: bdemo up"
        return [
            ServiceStatus(name, "unhealthy" if name in pids else "stopped", pid=pids.get(name), error=error)
            for name in SERVICES
        ]

    def last_errors(self, name: str) -> str | None:
        """The newest error lines of a service's log."""
        return logfiles.last_errors(self.state.logs / f"{name}.log")

    def logs(self, services: Collection[str], *, lines: int, follow: bool) -> Iterator[LogLine]:
        """As `Stack.logs`. Raises UnknownName; NoStack when there has never been a stack."""
        names = [service(name).name for name in services] or list(SERVICES)
        if not self.state.logs.is_dir():
            raise NoStack(self.state.path)
        files = {name: self.state.logs / f"{name}.log" for name in names}
        coming = logfiles.follow(files) if follow else iter(())
        yield from logfiles.newest(files, lines)
        yield from coming

    # -- one service

    def stop(self, service_name: str) -> None:
        """As `Stack.stop`."""
        self.supervisor.stop(self._process(service_name))

    def start(self, service_name: str) -> None:
        """As `Stack.start`."""
        process = self._process(service_name)
        self.supervisor.start(process)
        self.wait_ready(service_name, time.monotonic() + PATIENCE_S, threading.Event())

    def _process(self, name: str) -> ProcessInfo:
        known = service(name).name
        if not self.supervisor.runs():
            raise NoStack(self.state.path)
        return self.supervisor.processes()[known]

    def wait_ready(self, name: str, deadline: float, stop: threading.Event) -> None:
        """Waits until a service can do its work. Raises ServiceFailed, TimedOut."""
        self.wait_until(name, lambda: probes.is_ready(name, self.state.saved(), self.state), deadline, stop)

    def wait_until(self, name: str, condition: Callable[[], bool], deadline: float, stop: threading.Event) -> None:
        """Waits for something of a service, unless that fails. Raises ServiceFailed, TimedOut."""
        while not condition():
            if self._fatal(name):
                last = (self.last_errors(name) or "its log is empty").splitlines()[-1]
                raise ServiceFailed(f"{name} failed: {last}", hint=f"see: bdemo logs {name}")
            if time.monotonic() > deadline:
                raise TimedOut(f"{name} is not ready in the time given", hint=f"see: bdemo logs {name}")
            if stop.wait(POLL_S):
                raise _Stopped

    def _fatal(self, name: str) -> bool:
        """Whether supervisor gave a service up; looked up twice a second for all who wait, it costs both sides 5 ms."""
        with self._look:
            if time.monotonic() - self._looked_at > LOOK_EVERY_S:
                self._states = {name: info.state for name, info in self.supervisor.processes().items()}
                self._looked_at = time.monotonic()
            return self._states[name] == "FATAL"


class _Climb:
    """Services on their way to readiness, each in a thread of its own."""

    def __init__(
        self,
        stack: EmbeddedStack,
        report: Report,
        deadline: float,
        stop: threading.Event,
        ready: Mapping[str, threading.Event],
        new: bool,
    ) -> None:
        self._stack = stack
        self._report = report
        self._deadline = deadline
        self._stop = stop
        self._ready = ready
        self._new = new

    def to_readiness(self, name: str) -> None:
        """Waits for what the service needs, then for the service; what its server holds is made on the way."""
        stack = self._stack
        if not self._new and probes.is_ready(name, stack.state.saved(), stack.state):
            self._report(ServiceStatus(name, "ready", detail="was running"))
            self._ready[name].set()
            return
        for need in SERVICES[name].needs:
            if not self._ready[need].is_set():
                self._report(ServiceStatus(name, "waiting", detail=f"waits for {need}"))
            while not self._ready[need].wait(POLL_S):
                if self._stop.is_set():
                    raise _Stopped
        self._report(ServiceStatus(name, "starting"))
        if not self._new:
            self._restart_if_hung(name)
        self._provision(name)
        stack.wait_ready(name, self._deadline, self._stop)
        self._report(ServiceStatus(name, "ready"))
        self._ready[name].set()

    def _restart_if_hung(self, name: str) -> None:
        stack = self._stack
        process = stack.supervisor.processes()[name]
        if process.uptime_s is None or process.uptime_s < PATIENCE_S:
            return
        try:
            stack.wait_ready(name, time.monotonic() + HUNG_S, self._stop)
        except TimedOut:
            self._report(ServiceStatus(name, "starting", detail="did not answer: restarted"))
            stack.supervisor.stop(process)
            stack.supervisor.start(process)

    def _provision(self, name: str) -> None:
        """What a server must hold before services can use it: topics, a limit of its store, roles and tables."""
        from backend_demo.stack.servers import kafka, mqtt, postgres
        from backend_demo.storage import revision

        stack = self._stack
        state, addresses = stack.state, stack.state.saved()
        if name == "kafka":
            stack.wait_ready(name, self._deadline, self._stop)
            kafka.create_topics(addresses["kafka_bootstrap"])
        elif name == "mqtt":
            stack.wait_ready(name, self._deadline, self._stop)
            mqtt.cap_store(addresses["nats_port"], state)
        elif name == "postgres":
            port = addresses["postgres_port"]
            stack.wait_until(name, lambda: postgres.answers(port, state), self._deadline, self._stop)
            if postgres.provision(port, state) != revision.newest():
                from backend_demo.storage.migrate import upgrade

                upgrade(state.postgres_dsn("bdemo"))


class _Stopped(Exception):
    """Another part failed or the user gave up: this one is not to go on."""


def _at_once(tasks: Mapping[str, Callable[[], T]], stop: threading.Event) -> dict[str, T]:
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
    for problem in sorted(problems, key=lambda problem: isinstance(problem, _Stopped)):
        raise problem
    return {name: future.result() for name, future in futures.items()}


def with_needs(services: Collection[str]) -> list[str]:
    """These services and what they need, in the order of the table; all when none is named. Raises UnknownName."""
    wanted = {service(name).name for name in services} or set(SERVICES)
    while more := {need for name in wanted for need in SERVICES[name].needs} - wanted:
        wanted |= more
    return [name for name in SERVICES if name in wanted]


def _program(name: str, state_dir: Path) -> Program:
    command = (sys.executable, "-m", "backend_demo", "run", name, "--supervised", "--state-dir", str(state_dir))
    return Program(name, "services", command)


def _state(info: ProcessInfo, ready: bool) -> State:
    if ready:
        return "ready"
    if info.state == "FATAL":
        return "failed"
    if info.state in ("STOPPED", "STOPPING"):
        return "stopped"
    if info.uptime_s is None or info.uptime_s < PATIENCE_S:
        return "starting"
    return "unhealthy"


def _resident_bytes(pid: int | None) -> int | None:
    import psutil

    from backend_demo.stack.processes import resident_bytes

    with contextlib.suppress(psutil.Error):
        return resident_bytes(psutil.Process(pid)) if pid else None
    return None
