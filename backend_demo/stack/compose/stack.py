"""ComposeStack: servers and services as containers, through docker compose."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.errors import BdemoError, NoStack, ServiceFailed, TimedOut, UnknownName
from backend_demo.stack import logfiles, time_limits
from backend_demo.stack.base import ALL_LINES, NO_CHANGE, LogFilter, LogLine, Report, ServiceStatus, StackChange
from backend_demo.stack.compose import containers as compose_containers
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.compose import logs as compose_logs
from backend_demo.stack.compose import shared_port
from backend_demo.stack.compose.bringup import Watch, check_version, end, restart_hung, stop, surplus_of
from backend_demo.stack.compose.containers import Container
from backend_demo.stack.compose.images import Images
from backend_demo.stack.compose.project import Project, with_profiles
from backend_demo.stack.services import prometheus
from backend_demo.stack.services.copies import all_copies, copy_names, most_copies
from backend_demo.stack.services.service import Service
from backend_demo.stack.services.table import (
    check_copies,
    chosen,
    copy_of,
    counted,
    not_asked_for,
    services_of,
    shown,
    with_needs,
)
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.locks import LOCK_WAIT_S

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: Seconds that containers of an interrupted `up` have to end: a Kafka that is starting hears no signal.
GRACE_S = 10

#: Lines of each container's log that are kept when it goes.
LOG_LINES = 10_000


class ComposeStack:
    """A `Stack` of containers. All but `up` needs the state directory only."""

    def __init__(self, state_dir: Path, settings: Settings | None = None, *, any_port: bool = False) -> None:
        self.state = StateDirectory(state_dir)
        self.project = Project(self.state)
        self._settings = settings
        self._any_port = any_port

    @property
    def table(self) -> dict[str, Service]:
        """The services that there are with the profiles of this stack."""
        new = None if self.state.record.kind() == "compose" else self._settings
        return services_of("compose", new.profiles if new else self.project.plan().profiles)

    def _not_asked_for(self) -> set[str]:
        new = None if self.state.record.kind() == "compose" else self._settings
        return not_asked_for(with_profiles(new).model_dump() if new else self.state.record.settings(), self.table)

    # -- up

    def up(
        self,
        services: Collection[str],
        report: Report,
        *,
        without: Collection[str] = (),
        scale: Mapping[str, int] = NO_CHANGE,
    ) -> StackChange:
        """As `Stack.up`. Interrupted while it starts a new stack, it stops what it started.

        When a service fails, the stack is left running: `status` and `logs` show why, and another `up` restarts it.
        """
        names = with_needs(services, without=without, not_asked=self._not_asked_for(), table=self.table)
        check_copies(scale, among=names, table=self.table)
        compose_docker.check()
        self.state.create()
        with self.state.locks.hold("stack", wait_s=LOCK_WAIT_S):
            compose_docker.end_clients_of(self.project.name)
            found = self._containers()
            new = self.state.record.kind() != "compose" or not any(each.runs for each in found.values())
            try:
                with compose_docker.no_client_left():
                    if new:
                        self._plan()
                    return self._bring_up(self.state.record.copies_for(names, scale), found, report, new=new)
            except BaseException as problem:
                if new and not isinstance(problem, ServiceFailed | TimedOut) and self._take_down(grace_s=GRACE_S):
                    for name in all_copies(self.state.record.copies_for(names, scale)):
                        report(ServiceStatus(name, "stopped"))
                raise

    def scale(self, copies: Mapping[str, int], report: Report) -> StackChange:
        """As `Stack.scale`."""
        check_copies(copies, table=self.table)
        if not self.project.exists:
            raise NoStack(self.state.path)
        with self.state.locks.hold("stack", wait_s=LOCK_WAIT_S):
            found = self._running()
            with compose_docker.no_client_left():
                return self._bring_up(
                    self.state.record.copies_for(with_needs(copies, table=self.table), copies), found, report, new=False
                )

    def _plan(self) -> None:
        """Fixes ports and everything else that the project is made with, and records the stack."""
        from backend_demo import settings as settings_module
        from backend_demo.stack import ports

        settings = self._settings or settings_module.load(state_dir=self.state.path)
        shifted = ports.free(settings) if self._any_port else ports.shifted(settings)
        addressed = self.project.save(shifted, offset=settings.port_offset, any_port=self._any_port)
        self.state.record.save(
            addressed.model_copy(update={"stack": "compose", "metrics_targets": None, "mqtt_users_file": None})
        )

    def _bring_up(
        self, copies: Mapping[str, int], found: Mapping[str, Container], report: Report, *, new: bool
    ) -> StackChange:
        """Starts what does not run, with images first, and waits for all. Ends surplus copies."""
        from backend_demo.stack import ports

        # `bdemo run` may be in the place of a container
        names = [name for name in all_copies(copies) if not self.state.locks.is_held(name)]
        surplus = [*surplus_of(copies, found, self.table), *shared_port.cut_off(found)]
        found = {name: each for name, each in found.items() if each not in surplus}
        if not surplus and all(name in found and found[name].state == "ready" for name in names):
            self._want(copies)
            for name in names:
                report(ServiceStatus(name, "ready", already_running=True))
            return StackChange(already_running=tuple(names))
        self.project.write_copies(all_copies({**self.state.record.copies(), **copies}))
        missing = [name for name in names if not (name in found and found[name].runs)]
        if missing:
            check_version(self.state.record.settings())
        needed = self.project.with_needs(missing)
        for name in needed:
            for port in () if name in found and found[name].runs else self.project.ports(name):
                ports.check_port(port, shared_port.held_for(name))
        self._want(copies)
        end(surplus, report, self._save_log)
        restarted: list[str] = []
        waited = [name for name in names if not (name in found and found[name].state == "ready")]
        for name in names:
            if name not in waited:
                report(ServiceStatus(name, "ready", already_running=True))
        limit_s = float(self.state.record.settings()["up_timeout_s"])
        if missing:
            Images(self.project, names, report).fetch(needed, build=new)
            command = partial(self.project.starting, missing, with_needs=self._lacks_needs(needed, missing, found))
            Watch(self.project, waited, report, limit_s=limit_s, together=names).until_ready(command)
        elif waited:
            restarted = restart_hung(self.project.name, waited, report)
            Watch(self.project, waited, report, limit_s=limit_s, together=names).until_ready()
        if setup := self._containers().get("setup"):
            compose_containers.copy_secrets(setup, self.state.compose_secrets_file)
        started = {*missing, *restarted}
        return StackChange(
            started=tuple(name for name in names if name in started),
            stopped=tuple(each.name for each in surplus),
            already_running=tuple(name for name in names if name not in started),
        )

    def _want(self, copies: Mapping[str, int]) -> None:
        """Records how many copies there are to be, and tells Prometheus and the gateway."""
        self.state.record.add_copies(copies)
        found = prometheus.targets(counted(self.state.record.copies()), prometheus.container_address)
        prometheus.write_targets(self.project.targets, found)

    def _lacks_needs(self, needed: Collection[str], missing: Collection[str], found: Mapping[str, Container]) -> bool:
        """Whether what the missing ones need must be started too, or made again after an update of the files."""
        return any(name not in found or not found[name].done for name in needed if name not in missing)

    # -- down

    def down(self, *, wipe: bool = False) -> bool:
        """As `Stack.down`: the containers go, their newest log lines are kept; the volumes stay, if not wiped."""
        if not self.project.exists:  # nor any lock in a folder that is not ours
            return False
        with self.state.locks.hold("stack", wait_s=LOCK_WAIT_S):
            compose_docker.end_clients_of(self.project.name)
            ran = self._take_down(volumes=wipe)
            if wipe:
                self.state.wipe()
        if wipe:
            self.state.remove_empty()
        return ran

    def _take_down(self, *, volumes: bool = False, grace_s: int | None = None) -> bool:
        from python_on_whales.exceptions import DockerException

        found = self._containers()
        ran = any(each.runs for each in found.values())
        try:
            with compose_docker.no_client_left():
                self.project.client.compose.stop(timeout=grace_s)
                for container in found.values():
                    self._save_log(container)
                self.project.client.compose.down(remove_orphans=True, volumes=volumes, quiet=True)
        except DockerException as problem:
            raise compose_docker.refused(problem.stderr or "") from problem
        self.state.record.delete()
        self.state.locks.remove_dead()
        shutil.rmtree(self.state.sockets, ignore_errors=True)
        return ran

    def _save_log(self, container: Container) -> None:
        """Keeps the newest lines of its log, which goes with the container."""
        with contextlib.suppress(BdemoError):
            self.state.log_of(container.name).write_text(compose_containers.log_of(container, LOG_LINES))

    # -- looking at it

    def status(self) -> list[ServiceStatus]:
        """As `Stack.status`: what each container's health check says."""
        found, wanted = self._running(), self.state.record.copies()
        return [self._status(name, found.get(name), wanted) for name in shown(wanted, found, self.table)]

    def _status(self, name: str, container: Container | None, wanted: Mapping[str, int]) -> ServiceStatus:
        if container is not None:
            return compose_containers.status_of(container)
        asked_for = any(name in copy_names(service, count) for service, count in wanted.items())
        return ServiceStatus(name, "stopped" if asked_for else "off")

    def logs(
        self, services: Collection[str], *, lines: int, follow: bool, wanted: LogFilter = ALL_LINES
    ) -> Iterator[LogLine]:
        """As `Stack.logs`; also of the one-shots `setup` and `migrate`, when they are named."""
        if not self.project.exists:
            for name in services:
                copy_of(name, self.table)
            raise NoStack(self.state.path)
        found = self._containers() if self.state.record.kind() == "compose" else {}
        names = self._named(services, found)
        if not found:
            yield from logfiles.newest({name: self.state.log_of(name) for name in names}, lines, wanted)
            return
        begin = time.time()
        newest = compose_logs.newest([each for name, each in found.items() if name in names], lines, wanted)
        yield from newest
        if follow:
            begin = max((line.time for line in newest), default=begin)
            yield from compose_logs.follow(self.project.name, names, begin, wanted)

    def _named(self, services: Collection[str], found: Mapping[str, Container]) -> set[str]:
        """The copies whose logs these names mean, also of copies to come."""
        names: set[str] = set()
        for name in services or self.table:
            if name in found and found[name].once:
                names.add(name)
                continue
            names |= set(chosen(name, {each.name: most_copies(each) for each in self.table.values()}, self.table))
        return names

    # -- one service

    def stop(self, service: str) -> None:
        """As `Stack.stop`."""
        stop(self._chosen(service))
        stop(shared_port.idle_holders(self._running()))

    def start(self, service: str) -> None:
        """As `Stack.start`."""
        containers = self._chosen(service)
        names = [each.name for each in containers]
        containers = [*shared_port.holders_for(names, self._running()), *containers]
        compose_docker.ask("start", *(each.id for each in containers), limit_s=time_limits.PATIENCE_S)
        Watch(self.project, names, lambda status: None, limit_s=time_limits.PATIENCE_S).until_ready()

    def _chosen(self, service: str) -> list[Container]:
        """The containers of the copies that a name means. Raises NoStack, UnknownName."""
        copy_of(service, self.table)
        found = self._running()
        wanted = self.state.record.copies()
        names = chosen(service, wanted, self.table)
        if copy_of(service, self.table)[0].name not in wanted:
            raise UnknownName("service", service, wanted)
        return [found[name] for name in names if name in found]

    # -- containers

    def _containers(self) -> dict[str, Container]:
        return compose_containers.of_project(self.project.name)

    def _running(self) -> dict[str, Container]:
        """The containers of the stack that runs. Raises NoStack."""
        found = self._containers() if self.state.record.kind() == "compose" else {}
        if not found:
            raise NoStack(self.state.path)
        return found
