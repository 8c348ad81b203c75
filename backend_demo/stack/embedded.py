"""EmbeddedStack: servers and services as child processes, under supervisor."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.errors import NoStack, PortInUse, ServiceFailed, TimedOut
from backend_demo.stack import bringup, logfiles, probes
from backend_demo.stack.base import ALL_LINES, NO_CHANGE, LogFilter, LogLine, Report, ServiceStatus, State
from backend_demo.stack.bringup import BringUp, Waiting, at_once
from backend_demo.stack.memory import resident_bytes
from backend_demo.stack.services import (
    SERVICES,
    all_copies,
    check_copies,
    chosen,
    copy_names,
    copy_of,
    most_copies,
    shown,
    with_needs,
)
from backend_demo.stack.state import LOCK_WAIT_S, StateDirectory
from backend_demo.stack.supervisor import ProcessInfo, Supervisor

if TYPE_CHECKING:
    from backend_demo.settings import Settings


class EmbeddedStack:
    """A `Stack` of child processes. All but `up` needs the state directory only."""

    def __init__(self, state_dir: Path, settings: Settings | None = None, *, any_port: bool = False) -> None:
        self.state = StateDirectory(state_dir)
        self.supervisor = Supervisor(self.state)
        self._settings = settings
        self._any_port = any_port

    # -- up

    def up(
        self,
        services: Collection[str],
        report: Report,
        *,
        without: Collection[str] = (),
        scale: Mapping[str, int] = NO_CHANGE,
    ) -> None:
        """As `Stack.up`. Interrupted while it starts a new stack, it stops what it started.

        A stack of which a service failed is left running: `status` and `logs` show why, and another `up` mends it.
        What is optional and was not named does not fail it: what is not installed is left out in silence, and of the
        rest is reported what is wrong.
        """
        names = _installed(with_needs(services, without=without), named=services)
        check_copies(scale, among=names)
        self.state.create()
        with self.state.lock("stack", wait_s=LOCK_WAIT_S):
            new = not self.supervisor.runs()
            copies = self.state.copies(names, scale)
            optional = [name for name in names if SERVICES[name].optional and name not in services]
            try:
                if new:
                    self._launch([name for name in all_copies(copies) if name not in optional], report)
                self._bring_up(copies, report, optional)
            except BaseException as problem:
                if new and not isinstance(problem, ServiceFailed | TimedOut) and self._stop_all():
                    for name in all_copies(copies):
                        report(ServiceStatus(name, "stopped"))
                raise

    def scale(self, copies: Mapping[str, int], report: Report) -> None:
        """As `Stack.scale`."""
        check_copies(copies)
        names = _installed(with_needs(copies), named=copies)
        if not self.state.secrets_file.exists():  # nor any lock in a folder that is not ours
            raise NoStack(self.state.path)
        with self.state.lock("stack", wait_s=LOCK_WAIT_S):
            if not self.supervisor.runs():
                raise NoStack(self.state.path)
            self._bring_up(self.state.copies(names, copies), report)

    def _launch(self, wanted: Collection[str], report: Report) -> None:
        """Starts a supervisor that knows every program and runs none yet."""
        from backend_demo.stack import ports, programs
        from backend_demo.stack.servers import prometheus

        self._end_leftovers()
        settings = self._chosen_ports()
        settings = settings.model_copy(update={"metrics_targets": self._targets / prometheus.TARGETS})
        ports.check_free(settings.model_dump(), wanted)
        known = programs.prepare(settings, self.state, report)
        self.state.save(settings)
        self.supervisor.launch(known)

    def _chosen_ports(self) -> Settings:
        from backend_demo import settings as settings_module
        from backend_demo.stack import ports

        settings = self._settings or settings_module.load(state_dir=self.state.path)
        return ports.free(settings) if self._any_port else ports.shifted(settings)

    def _bring_up(self, copies: Mapping[str, int], report: Report, optional: Collection[str] = ()) -> None:
        """Starts what does not run, all at once: each waits by itself for what it needs. Ends copies beyond those."""
        from backend_demo.stack import ports
        from backend_demo.stack.servers import kafka

        processes = self.supervisor.processes()
        idle = [name for name in optional if processes[name].pid is None]
        blocked = self._blocked(idle, report)
        copies = {name: count for name, count in copies.items() if name not in blocked}
        wanted = all_copies(copies)
        # `bdemo run` may be in the place of a supervised copy
        missing = [name for name in wanted if processes[name].pid is None and not self.state.is_locked(name)]
        ports.check_free(self.state.saved(), missing)
        self._want(copies)
        self._end_surplus(copies, processes, report)
        for name in missing:
            self.supervisor.start(processes[name])
        deadline = time.monotonic() + float(self.state.saved()["up_timeout_s"])
        BringUp(Waiting(self.state, self.supervisor, deadline), report, missing).run(wanted, optional)
        if not kafka.start_up_cache().exists():
            self.supervisor.start(processes[kafka.CACHE])

    def _want(self, copies: Mapping[str, int]) -> None:
        """Records how many copies there are to be, and tells Prometheus and the gateway."""
        from backend_demo.stack.servers import prometheus

        self.state.want(copies)
        address = partial(prometheus.local_address, addresses=self.state.saved())
        found = prometheus.targets(self.state.wanted(), address)
        prometheus.write_targets(self._targets, found)

    @property
    def _targets(self) -> Path:
        """The folder with the file that tells where the metrics of all copies are."""
        return self.state.path / "prometheus" / "targets"

    def _blocked(self, names: Collection[str], report: Report) -> list[str]:
        """Those whose port another process has; it may well be the user's own Prometheus."""
        from backend_demo.stack import ports

        blocked = []
        for name in names:
            try:
                ports.check_free(self.state.saved(), [name])
            except PortInUse as problem:
                blocked.append(name)
                report(ServiceStatus(name, "off", detail=problem.message))
        return blocked

    def _end_surplus(self, copies: Mapping[str, int], processes: Mapping[str, ProcessInfo], report: Report) -> None:
        """Ends copies that are no longer wanted; each leaves its consumer group, and the others take over at once."""

        def end(name: str) -> None:
            self.supervisor.stop(processes[name])
            report(ServiceStatus(name, "stopped"))

        surplus = [
            name
            for entry, count in copies.items()
            for name in copy_names(entry, most_copies(SERVICES[entry]))[count:]
            if processes[name].state != "STOPPED"
        ]
        if surplus:
            at_once({name: partial(end, name) for name in surplus}, threading.Event())

    # -- down

    def down(self, *, wipe: bool = False) -> bool:
        """As `Stack.down`: services, then servers; then whatever a killed supervisor left behind."""
        if not self.state.secrets_file.exists():  # nor any lock in a folder that is not ours
            return False
        with self.state.lock("stack", wait_s=LOCK_WAIT_S):
            ran = self._stop_all()
            if wipe:
                self.state.wipe()
        if wipe:
            self.state.remove_empty()
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
        left = processes.end_leftovers(self.supervisor.url, self.state.path / "postgres" / "data")
        self.supervisor.clean()
        return bool(hung) or left

    # -- looking at it

    def status(self) -> list[ServiceStatus]:
        """As `Stack.status`: asks every service, all at once."""
        addresses = self.state.saved()
        if not self.supervisor.runs():
            return self._unsupervised()
        infos, restarts = self.supervisor.processes(), self.supervisor.restarts()
        wanted = self.state.wanted()
        running = {name for name, info in infos.items() if info.state != "STOPPED"}
        names = shown(wanted, running)

        def look(name: str) -> ServiceStatus:
            if name not in running and copy_of(name)[0].name not in wanted:
                return ServiceStatus(name, "off")
            ready = infos[name].pid is not None and probes.is_ready(name, addresses, self.state)
            return self._status(infos[name], ready, restarts[name])

        with ThreadPoolExecutor(len(names)) as pool:
            return list(pool.map(look, names))

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
            for name in shown(self.state.wanted(), pids)
        ]

    def logs(
        self, services: Collection[str], *, lines: int, follow: bool, wanted: LogFilter = ALL_LINES
    ) -> Iterator[LogLine]:
        """As `Stack.logs`. Raises UnknownName; NoStack when there has never been a stack."""
        most = {name: most_copies(entry) for name, entry in SERVICES.items()}
        names = [copy for name in services or SERVICES for copy in chosen(name, most)]
        if not self.state.logs.is_dir():
            raise NoStack(self.state.path)
        files = {name: self.state.log_of(name) for name in names}
        coming = logfiles.follow(files, wanted) if follow else iter(())
        yield from logfiles.newest(files, lines, wanted)
        yield from coming

    # -- one service

    def stop(self, service: str) -> None:
        """As `Stack.stop`."""
        processes = self._processes(service)
        at_once({each.name: partial(self.supervisor.stop, each) for each in processes}, threading.Event())

    def start(self, service: str) -> None:
        """As `Stack.start`."""
        processes = self._processes(service)
        for each in processes:
            self.supervisor.start(each)
        waiting = Waiting(self.state, self.supervisor, time.monotonic() + bringup.PATIENCE_S)
        at_once({each.name: partial(waiting.until_ready, each.name) for each in processes}, waiting.stop)

    def _processes(self, service: str) -> list[ProcessInfo]:
        """The copies that a name means."""
        copy_of(service)
        if not self.supervisor.runs():
            raise NoStack(self.state.path)
        infos = self.supervisor.processes()
        return [infos[name] for name in chosen(service, self.state.wanted())]


def _installed(names: Collection[str], *, named: Collection[str]) -> list[str]:
    """Those that can be started here. Raises PrerequisiteMissing when one cannot that was named."""
    from backend_demo.stack.servers import prometheus

    if "prometheus" in named:
        prometheus.check_installed()
    return [name for name in names if name != "prometheus" or prometheus.installed()]


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
