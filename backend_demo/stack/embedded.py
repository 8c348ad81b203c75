"""EmbeddedStack: servers and services as child processes, under supervisor."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.errors import ConfigurationInvalid, NoStack, ServiceFailed, TimedOut
from backend_demo.stack import bringup, logfiles, probes
from backend_demo.stack.base import LogLine, Report, ServiceStatus, State
from backend_demo.stack.bringup import BringUp, Stopped, Waiting, at_once
from backend_demo.stack.memory import resident_bytes
from backend_demo.stack.services import SERVICES, service, with_needs
from backend_demo.stack.state import CONTENTS, StateDirectory
from backend_demo.stack.supervisor import ProcessInfo, Program, Supervisor

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: How long `up` and `down` wait for one another.
LOCK_WAIT_S = 15.0


class EmbeddedStack:
    """A `Stack` of child processes. All but `up` needs the state directory only."""

    def __init__(self, state_dir: Path, settings: Settings | None = None, *, any_port: bool = False) -> None:
        self.state = StateDirectory(state_dir)
        self.supervisor = Supervisor(self.state)
        self._settings = settings
        self._any_port = any_port

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
                if new and not isinstance(problem, ServiceFailed | TimedOut) and self._stop_all():
                    for name in wanted:
                        report(ServiceStatus(name, "stopped"))
                raise

    def _launch(self, wanted: Collection[str], report: Report) -> None:
        """Starts a supervisor that knows every program and runs none yet."""
        from backend_demo.stack import ports

        self._end_leftovers()
        settings = self._chosen_ports()
        ports.check_free(settings.model_dump(), wanted)
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
                raise Stopped
            report(ServiceStatus("kafka", "fetching", detail=detail))

        def fetched_kafka() -> Program:
            kafka.fetch(fetched)
            return kafka.prepare(settings, self.state)

        servers = at_once(
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
        from backend_demo.stack import ports
        from backend_demo.stack.servers import kafka

        processes = self.supervisor.processes()
        missing = [name for name in wanted if processes[name].pid is None]
        ports.check_free(self.state.saved(), missing)
        for name in missing:
            self.supervisor.start(processes[name])
        deadline = time.monotonic() + float(self.state.saved()["up_timeout_s"])
        BringUp(Waiting(self.state, self.supervisor, deadline), report, new=new).run(wanted)
        if not kafka.start_up_cache().exists():
            self.supervisor.start(processes[kafka.CACHE])

    # -- down

    def down(self, *, wipe: bool = False) -> bool:
        """As `Stack.down`: services, then servers; then whatever a killed supervisor left behind."""
        if not self.state.secrets_file.exists():  # nor any lock in a folder that is not ours
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
            rss_bytes=resident_bytes(info.pid) if info.pid else None,
            restarts=restarts,
            error=logfiles.last_errors(self.state.log_of(info.name)) if failing else None,
        )

    def _unsupervised(self) -> list[ServiceStatus]:
        """What a killed supervisor left. Raises NoStack when that is nothing."""
        from backend_demo.stack import processes

        pids = {name: process.pid for name, process in reversed(processes.children_of(self.supervisor.url))}
        if not pids:
            raise NoStack(self.state.path)
        down = self.supervisor.process() is not None
        error = "the stack is going down" if down else "the supervisor was killed; mend it with: bdemo up"
        return [
            ServiceStatus(name, "unhealthy" if name in pids else "stopped", pid=pids.get(name), error=error)
            for name in SERVICES
        ]

    def logs(self, services: Collection[str], *, lines: int, follow: bool) -> Iterator[LogLine]:
        """As `Stack.logs`. Raises UnknownName; NoStack when there has never been a stack."""
        names = [service(name).name for name in services] or list(SERVICES)
        if not self.state.logs.is_dir():
            raise NoStack(self.state.path)
        files = {name: self.state.log_of(name) for name in names}
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
        Waiting(self.state, self.supervisor, time.monotonic() + bringup.PATIENCE_S).until_ready(service_name)

    def _process(self, name: str) -> ProcessInfo:
        known = service(name).name
        if not self.supervisor.runs():
            raise NoStack(self.state.path)
        return self.supervisor.processes()[known]


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
    if info.uptime_s is None or info.uptime_s < bringup.PATIENCE_S:
        return "starting"
    return "unhealthy"
