"""EmbeddedStack runs servers and services as child processes under supervisord."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.errors import NoStack, PortInUse, PrerequisiteMissing, ServiceFailed, TimedOut
from backend_demo.stack import logfiles, time_limits
from backend_demo.stack.base import (
    ALL_LINES,
    NO_CHANGE,
    LeftOut,
    LogFilter,
    LogLine,
    Report,
    ServiceStatus,
    StackChange,
)
from backend_demo.stack.embedded import status
from backend_demo.stack.embedded.bringup import BringUp, Waiting
from backend_demo.stack.embedded.supervisor import ProcessInfo, Supervisor
from backend_demo.stack.services.copies import all_copies, copy_names, most_copies
from backend_demo.stack.services.table import (
    SERVICES,
    check_copies,
    chosen,
    copy_of,
    counted,
    not_asked_for,
    users,
    with_needs,
)
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.locks import LOCK_WAIT_S
from backend_demo.stack.threads import at_once

if TYPE_CHECKING:
    from backend_demo.settings import Settings


class EmbeddedStack:
    """A `Stack` of child processes. Everything but `up` needs only the state directory."""

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
    ) -> StackChange:
        """As `Stack.up`. If it is interrupted while it starts a new stack, it stops what it started.

        When a service fails, the stack is left running: `status` and `logs` show why, and another `up` fixes it.
        An optional service that was not named does not fail it: one that is not installed is left out silently, any
        other problem is reported.
        """
        # a stack that runs keeps the settings with which it was started
        wanted = self.state.record.settings() if self.supervisor.runs() else self._own_settings().model_dump()
        names = _installed(with_needs(services, without=without, not_asked=not_asked_for(wanted)), named=services)
        check_copies(scale, among=names)
        self.state.create(users())
        with self.state.locks.hold("stack", wait_s=LOCK_WAIT_S):
            new = not self.supervisor.runs()
            copies = self.state.record.copies_for(names, scale)
            optional = [name for name in names if SERVICES[name].optional and name not in services]
            try:
                self.state.handed_on.save(self._own_settings())
                if new:
                    self._launch([name for name in all_copies(copies) if name not in optional], report)
                return self._bring_up(copies, report, optional)
            except BaseException as problem:
                if new and not isinstance(problem, ServiceFailed | TimedOut) and self._stop_all():
                    for name in all_copies(copies):
                        report(ServiceStatus(name, "stopped"))
                raise

    def scale(self, copies: Mapping[str, int], report: Report) -> StackChange:
        """As `Stack.scale`."""
        check_copies(copies)
        names = _installed(with_needs(copies), named=copies)
        if not self.state.secrets_file.exists():  # no stack here: do not create a lock file
            raise NoStack(self.state.path)
        with self.state.locks.hold("stack", wait_s=LOCK_WAIT_S):
            if not self.supervisor.runs():
                raise NoStack(self.state.path)
            return self._bring_up(self.state.record.copies_for(names, copies), report)

    def _own_settings(self) -> Settings:
        from backend_demo import settings as settings_module

        return self._settings or settings_module.load(state_dir=self.state.path)

    def _launch(self, wanted: Collection[str], report: Report) -> None:
        """Starts a supervisor that knows every program but runs none yet."""
        from backend_demo.stack import ports
        from backend_demo.stack.embedded import programs
        from backend_demo.stack.services import kafka_users, mqtt_users, prometheus

        self.state.check_whole()
        self._end_leftovers()
        settings = self._chosen_ports()
        settings = settings.model_copy(
            update={
                **kafka_users.CLIENT_SETTINGS,
                "metrics_targets": prometheus.targets_folder(self.state) / prometheus.TARGETS,
                "mqtt_users_file": self.state.mqtt_users_file,
                **programs.certificate(settings, self.state),
            }
        )
        mqtt_users.keep(self.state.mqtt_users_file, self.state.secrets.of)
        ports.check_free(settings.model_dump(), wanted)
        known = [*programs.prepare(settings, self.state, report), *programs.renewal(settings, self.state)]
        self.state.record.save(settings)
        self.supervisor.launch(known)

    def _chosen_ports(self) -> Settings:
        from backend_demo.stack import ports

        settings = self._own_settings()
        return ports.free(settings) if self._any_port else ports.shifted(settings)

    def _bring_up(self, copies: Mapping[str, int], report: Report, optional: Collection[str] = ()) -> StackChange:
        """Starts what does not run, all at once, as each waits for what it needs; ends copies beyond `copies`."""
        from backend_demo.stack import ports
        from backend_demo.stack.embedded import programs

        processes = self.supervisor.processes()
        blocked = self._blocked([name for name in optional if processes[name].pid is None], report)
        copies = {name: count for name, count in copies.items() if name not in {each.name for each in blocked}}
        wanted = all_copies(copies)
        # `bdemo run` may have taken the place of a supervised copy
        missing = [name for name in wanted if processes[name].pid is None and not self.state.locks.is_held(name)]
        ports.check_free(self.state.record.settings(), missing)
        self._want(copies)
        ended = self._end_surplus(copies, processes, report)
        for name in missing:
            self.supervisor.start(processes[name])
        deadline = time.monotonic() + float(self.state.record.settings()["up_timeout_s"])
        bring_up = BringUp(Waiting(self.state, self.supervisor, deadline), report, missing)
        bring_up.run(wanted, optional)
        for program in programs.background(processes):
            self.supervisor.start(processes[program])
        left_out = (*blocked, *bring_up.left_out)
        running = [name for name in wanted if name not in {each.name for each in left_out}]
        started = {*missing, *bring_up.restarted}
        return StackChange(
            started=tuple(name for name in running if name in started),
            stopped=tuple(ended),
            already_running=tuple(name for name in running if name not in started),
            left_out=left_out,
        )

    def _want(self, copies: Mapping[str, int]) -> None:
        """Records how many copies are to run, where Prometheus and the gateway read it too."""
        from backend_demo.stack.services import prometheus

        self.state.record.add_copies(copies)
        address = partial(prometheus.local_address, addresses=self.state.record.settings())
        found = prometheus.targets(counted(self.state.record.copies()), address)
        prometheus.write_targets(prometheus.targets_folder(self.state), found)

    def _blocked(self, names: Collection[str], report: Report) -> list[LeftOut]:
        """Those whose port belongs to another process, which may be the user's own Prometheus."""
        from backend_demo.stack import ports

        blocked = []
        for name in names:
            try:
                ports.check_free(self.state.record.settings(), [name])
            except PortInUse as problem:
                blocked.append(LeftOut(name, problem.message))
                report(ServiceStatus(name, "off", detail=problem.message))
        return blocked

    def _end_surplus(
        self, copies: Mapping[str, int], processes: Mapping[str, ProcessInfo], report: Report
    ) -> list[str]:
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
        at_once({name: partial(end, name) for name in surplus}, threading.Event())
        return surplus

    # -- down

    def down(self, *, wipe: bool = False) -> bool:
        """As `Stack.down`: stops services, then servers, then what a killed supervisor has left."""
        if not (self.state.secrets_file.exists() or self.state.restoring.exists()):  # do not create a lock file
            return False
        with self.state.locks.hold("stack", wait_s=LOCK_WAIT_S):
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
        self.state.record.delete()
        self.state.locks.remove_dead()
        shutil.rmtree(self.state.sockets, ignore_errors=True)
        return ran

    def _end_leftovers(self) -> bool:
        """Ends what a killed or hung supervisor has left: services, servers, busy PostgreSQL backends."""
        from backend_demo.stack import processes
        from backend_demo.stack.embedded import leftovers

        hung = self.supervisor.process()
        processes.end([hung] if hung else [], grace_s=0.0)
        left = leftovers.end_leftovers(self.supervisor.url, self.state)
        self.supervisor.clean()
        return bool(hung) or left

    # -- looking at it

    def status(self) -> list[ServiceStatus]:
        """As `Stack.status`: asks every service, all at once."""
        return status.look(self.state, self.supervisor)

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
        waiting = Waiting(self.state, self.supervisor, time.monotonic() + time_limits.PATIENCE_S)
        at_once({each.name: partial(waiting.until_ready, each.name) for each in processes}, waiting.stop)
        waiting.until_ready_together([each.name for each in processes])

    def _processes(self, service: str) -> list[ProcessInfo]:
        """The processes of the copies that a name means. Raises NoStack, UnknownName."""
        copy_of(service)
        if not self.supervisor.runs():
            raise NoStack(self.state.path)
        infos = self.supervisor.processes()
        return [infos[name] for name in chosen(service, self.state.record.copies())]


def _installed(names: Collection[str], *, named: Collection[str]) -> list[str]:
    """Those that can be started on this machine. Raises PrerequisiteMissing if a named one cannot."""
    found = []
    for name in names:
        try:
            if check := SERVICES[name].check_installed:
                check()
        except PrerequisiteMissing:
            if name in named:
                raise
        else:
            found.append(name)
    return found
