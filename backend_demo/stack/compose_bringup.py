"""Containers on their way to readiness: images, then a watch over each until it is healthy."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import cast

from backend_demo.errors import BdemoError, PortInUse, ServiceFailed, TimedOut
from backend_demo.stack import compose_docker, logfiles
from backend_demo.stack.base import Report, ServiceStatus
from backend_demo.stack.compose_containers import LOG_LINES, Container, last_errors, log_of, of_project
from backend_demo.stack.compose_project import Project, build_context

POLL_S = 0.5

#: What python-on-whales yields while a command runs: the stream's name, and a line.
Lines = Iterable[tuple[str, bytes]]

#: How a build tells where it is: `#12 [build 4/6] RUN ...`.
_STEP = re.compile(r"#\d+ \[(\S+) (\d+)/(\d+)\]")
_OTHER_MAJOR = re.compile(r"initialized by PostgreSQL version (\d+), which is not compatible with this version (\d+)")


class Images:
    """Makes the images of some services be there."""

    def __init__(self, project: Project, shown: Collection[str], report: Report) -> None:
        """`shown`: the services that are reported on; there are others, which do something and end."""
        self._project = project
        self._shown = shown
        self._report = report

    def fetch(self, names: Collection[str], *, build: bool) -> None:
        """Pulls what is missing, all at once, and builds ours; `build`: also when it is there, as it may be older.

        Raises PrerequisiteMissing (an image that cannot be pulled), ServiceFailed (a build).
        """
        services = self._project.services
        there = set(compose_docker.ask("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split())
        users: dict[str, list[str]] = {}
        for name in names:
            users.setdefault(services[name]["image"], []).append(name)
        built = {service["image"] for service in services.values() if "build" in service}
        tasks: list[Callable[[], None]] = []
        for image, its_users in users.items():
            if image in built and (build or image not in there):
                tasks.append(lambda image=image, its_users=its_users: self._build(image, its_users))  # type: ignore[misc]
            elif image not in there and image not in built:
                tasks.append(lambda image=image, its_users=its_users: self._pull(image, its_users))  # type: ignore[misc]
        if tasks:
            with ThreadPoolExecutor(len(tasks)) as pool:
                for task in [pool.submit(task) for task in tasks]:
                    task.result()

    def _pull(self, image: str, users: Collection[str]) -> None:
        from python_on_whales.exceptions import DockerException

        self._say(users, f"pulls {image}")
        layers: dict[str, bool] = {}
        said = ""
        try:
            pulling = cast(Lines, self._project.client.image.pull(image, stream_logs=True))
            for line in _decoded(pulling):
                said += f"{line}\n"
                layer, _, what = line.strip().partition(": ")
                if what in ("Pulling fs layer", "Pull complete", "Already exists"):
                    layers[layer] = what != "Pulling fs layer"
                    self._say(users, f"pulls {image}: {sum(layers.values())} of {len(layers)} layers")
        except DockerException as problem:
            raise compose_docker.not_pulled(image, problem.stderr or said) from problem

    def _build(self, image: str, users: Collection[str]) -> None:
        from python_on_whales.exceptions import DockerException

        self._say(users, "waits for its image")
        users = [name for name in users if name in self._shown][:1]  # one that stands for all
        self._say(users, f"builds {image}")
        said: list[str] = []
        try:
            with build_context() as context:
                for line in _decoded(self._project.building(context)):
                    said.append(line)
                    if step := _STEP.match(line):
                        self._say(users, f"builds {image}: step {step[2]} of {step[3]} ({step[1]})")
        except DockerException as problem:
            known = compose_docker.refused(problem.stderr or "")
            if not isinstance(known, ServiceFailed):
                raise known from problem
            raise build_failed(image, said) from problem

    def _say(self, users: Collection[str], detail: str) -> None:
        for name in users:
            if name in self._shown:
                self._report(ServiceStatus(name, "fetching", detail=detail))


def build_failed(image: str, said: Iterable[str]) -> ServiceFailed:
    """A build that ended with an error, with what the failing step wrote last."""
    lines = [re.sub(r"^#\d+ ([\d.]+ )?", "", line).strip() for line in said]
    telling = [line for line in lines if re.search(r"\berror\b", line, re.I) and not line.startswith("failed to solve")]
    last = (telling or [line for line in lines if line] or ["?"])[-1]
    return ServiceFailed(
        f"the image {image} cannot be built: {compose_docker.last_line(last)}",
        hint="see all of it: docker compose -f compose/compose.yaml build, in a checkout",
    )


class Watch:
    """Follows containers of a project until all that are waited for are ready."""

    def __init__(self, project: Project, names: Collection[str], report: Report, *, limit_s: float) -> None:
        self._project = project
        self._names = names
        self._report = report
        self._deadline = time.monotonic() + limit_s
        self._said: dict[str, ServiceStatus] = {}

    def until_ready(self, command: Callable[[], Lines] | None = None) -> None:
        """Runs the command that starts them, if any; returns when all are ready.

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
                if all(name in found and found[name].state == "ready" for name in self._names):
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
            return ServiceStatus(name, "waiting", detail=f"waits for {waits}" if waits else "")
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
            port = int(re.search(r"port (\d+)", known.message)[1])  # type: ignore[index]
            owners = [name for name in self._project.services if port in self._project.ports(name)]
            return PortInUse(port, owners[0], "another process") if owners else known
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

    def __init__(self, command: Callable[[], Lines]) -> None:
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(command,), daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def _run(self, command: Callable[[], Lines]) -> None:
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


def _decoded(lines: Lines) -> Iterable[str]:
    return (line.decode(errors="replace").rstrip() for _, line in lines)
