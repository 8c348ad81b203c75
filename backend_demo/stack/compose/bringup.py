"""Containers on their way to readiness, each watched until it is healthy; and those that hang or are too many."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

from backend_demo.errors import BdemoError, PortInUse, ResourceInUse, ServiceFailed, TimedOut
from backend_demo.stack import logfiles, time_limits
from backend_demo.stack.base import Report, ServiceStatus
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.compose.containers import LOG_LINES, Container, last_errors, log_of, of_project
from backend_demo.stack.compose.project import OutputLines, Project
from backend_demo.stack.compose.shared_port import held_for
from backend_demo.stack.services.copies import copy_names, most_copies
from backend_demo.stack.services.kafka_users import CLIENT_SETTINGS
from backend_demo.stack.services.service import Addresses, Service
from backend_demo.stack.threads import at_once

POLL_S = 0.5

_OTHER_MAJOR = re.compile(r"initialized by PostgreSQL version (\d+), which is not compatible with this version (\d+)")


def check_version(recorded: Addresses) -> None:
    """Raises ResourceInUse when containers of an earlier version run, which those of this one cannot join."""
    if recorded.get("kafka_security_protocol") != CLIENT_SETTINGS["kafka_security_protocol"]:
        raise ResourceInUse(
            "this stack was started by an earlier version of bdemo: its Kafka knows no users",
            hint="start all of it again: bdemo down, bdemo up",
        )


class Watch:
    """Reports on containers of a project until they are ready, `together` with others that need no report."""

    def __init__(
        self,
        project: Project,
        names: Collection[str],
        report: Report,
        *,
        limit_s: float,
        together: Collection[str] = (),
    ) -> None:
        self._project = project
        self._names = names
        self._together = {*names, *together}
        self._report = report
        self._deadline = time.monotonic() + limit_s
        self._said: dict[str, ServiceStatus] = {}

    def until_ready(self, command: Callable[[], OutputLines] | None = None) -> None:
        """Runs the command that starts them, if any; returns when one look finds all of them ready.

        Raises ServiceFailed, TimedOut, PortInUse, and what Docker refuses.
        """
        running = Running(command) if command else None
        while True:
            ended = running is None or running.ended
            found = of_project(self._project.name)
            self._tell(found)
            self._check(found)
            if ended:
                if running and running.problem is not None:
                    raise self._explained(running.problem, found)
                if all(name in found and found[name].state == "ready" for name in self._together):
                    return
            if time.monotonic() > self._deadline:
                raise self._too_late(found)
            time.sleep(POLL_S)

    def _tell(self, found: Mapping[str, Container]) -> None:
        for name in self._names:
            status = self._status(name, found)
            if self._said.get(name) != status:
                self._said[name] = status
                self._report(status)

    def _status(self, name: str, found: Mapping[str, Container]) -> ServiceStatus:
        container = found.get(name)
        if container is None or container.status in ("created", "exited"):
            waits = next((n for n in self._project.needs(name) if n not in found or not found[n].done), None)
            return ServiceStatus(name, "waiting", detail=f"waiting for {waits}" if waits else "")
        status = ServiceStatus(name, container.state, restarts=container.restarts)
        if container.state in ("failed", "unhealthy") or container.status == "restarting":
            error = last_errors(container) or f"ended with {container.exit_code}"
            return replace(status, error=error, detail=error.splitlines()[-1])
        return status

    def _check(self, found: Mapping[str, Container]) -> None:
        """Raises ServiceFailed when something that is waited for will not come."""
        for name in (*self._project.with_needs(list(self._names)),):
            container = found.get(name)
            failed = container is not None and (
                container.state == "failed" or (container.once and container.status == "exited" and container.exit_code)
            )
            if container is not None and failed:
                raise failure(container)

    def _explained(self, problem: BaseException, found: Mapping[str, Container]) -> BaseException:
        """Why the command that starts them failed."""
        from python_on_whales.exceptions import DockerException

        if not isinstance(problem, DockerException):
            return problem
        known = compose_docker.refused(problem.stderr or "")
        if isinstance(known, PortInUse):
            owners = [name for name in self._project.services if known.port in self._project.ports(name)]
            return PortInUse(known.port, held_for(owners[0]), "another process") if owners else known
        if not isinstance(known, ServiceFailed):
            return known
        worst = [found[name] for name in self._project.with_needs(list(self._names)) if name in found]
        for container in worst:
            if container.state in ("unhealthy", "failed") or container.exit_code:
                return failure(container)
        return known

    def _too_late(self, found: Mapping[str, Container]) -> BdemoError:
        for name in self._project.with_needs(list(self._names)):
            container = found.get(name)
            if container is not None and not container.done and container.status != "created":
                if container.state == "unhealthy" or container.restarts:
                    return failure(container)
                return TimedOut(f"{name} is not ready in the time given", hint=f"see: bdemo logs {name}")
        return TimedOut("the containers are not ready in the time given", hint="see: bdemo status")


class Running:
    """A command of python-on-whales in a thread; it ends with its docker client, at the latest."""

    def __init__(self, command: Callable[[], OutputLines]) -> None:
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(command,), daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def _run(self, command: Callable[[], OutputLines]) -> None:
        try:
            for _ in command():
                pass
        except Exception as problem:  # noqa: BLE001 - it is raised where the watch sees it
            self.problem = problem


def failure(container: Container) -> BdemoError:
    """Why a container does not come up, by its log."""
    said = log_of(container, LOG_LINES)
    errors = logfiles.telling(said.splitlines()) or f"it ended with {container.exit_code}, its log is empty"
    if other := _OTHER_MAJOR.search(said):
        return ServiceFailed(
            f"the data volume of {container.name} is of PostgreSQL {other[1]}, this is PostgreSQL {other[2]}",
            hint=f"set PG_VERSION={other[1]} to use it, or delete it with: bdemo down --wipe",
        )
    return ServiceFailed(
        f"{container.name} failed: {errors.splitlines()[-1].strip()}", hint=f"see: bdemo logs {container.name}"
    )


def restart_hung(project: str, names: Collection[str], report: Report) -> list[str]:
    """Restarts those of these containers that are unhealthy and stay so for a while; returns their names."""
    deadline = time.monotonic() + time_limits.HUNG_S
    while True:
        found = of_project(project)
        hung = [found[name] for name in names if name in found and found[name].state == "unhealthy"]
        if not hung or time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    for container in hung:
        report(ServiceStatus(container.name, "starting", detail="did not answer: restarted"))
        compose_docker.ask("restart", container.id, limit_s=time_limits.PATIENCE_S)
    return [container.name for container in hung]


def stop(containers: Collection[Container]) -> None:
    """Stops containers, all at once, to be started again."""
    limit_s = time_limits.PATIENCE_S
    tasks = {each.name: partial(compose_docker.ask, "stop", each.id, limit_s=limit_s) for each in containers}
    at_once(tasks, threading.Event())


def end(containers: Collection[Container], report: Report, save_log: Callable[[Container], None]) -> None:
    """Ends copies, all at once; each leaves its consumer group, and the others take over."""

    def end_one(container: Container) -> None:
        compose_docker.ask("stop", container.id, limit_s=time_limits.PATIENCE_S)
        save_log(container)
        compose_docker.ask("rm", "--force", container.id)
        report(ServiceStatus(container.name, "stopped"))

    at_once({each.name: partial(end_one, each) for each in containers}, threading.Event())


def surplus_of(
    copies: Mapping[str, int], found: Mapping[str, Container], table: Mapping[str, Service]
) -> list[Container]:
    """Returns the containers of copies beyond the wanted number."""
    return [
        found[name]
        for service, count in copies.items()
        for name in copy_names(service, most_copies(table[service]))[count:]
        if name in found
    ]
