"""The containers of a compose project: which there are, and what state a service is in by its container."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from backend_demo.errors import ServiceFailed
from backend_demo.stack import logfiles
from backend_demo.stack.base import ServiceState, ServiceStatus
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.resident_memory import resident_bytes
from backend_demo.stack.services.copies import copy_name

PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"
_NUMBER = "com.docker.compose.container-number"
_ONE_OFF = "com.docker.compose.oneoff"

#: Ends, one soon after the other, after which a service is said to have failed; the engine goes on trying.
RESTARTS_MAX = 5

#: The newest lines of a log among which the telling ones are looked for.
LOG_LINES = 60


@dataclass(frozen=True)
class Container:
    """One container, at the moment of asking."""

    id: str
    name: str
    """Of the copy: `processing`, `processing-2`."""
    status: str
    """Docker's word: created, running, restarting, paused, exited, dead."""
    health: str
    """Docker's word: starting, healthy, unhealthy; empty without a health check."""
    exit_code: int
    once: bool
    """It does something and ends, as `migrate` does."""
    pid: int | None
    started: float
    """Epoch seconds."""
    restarts: int

    @property
    def runs(self) -> bool:
        return self.status in ("running", "restarting", "paused")

    @property
    def done(self) -> bool:
        """Whether what waits for it may begin."""
        return (self.once and self.status == "exited" and self.exit_code == 0) or self.state == "ready"

    @property
    def state(self) -> ServiceState:
        if self.status == "running":
            states: dict[str, ServiceState] = {"": "ready", "healthy": "ready", "unhealthy": "unhealthy"}
            return states.get(self.health, "starting")
        if self.status == "restarting":
            return "failed" if self.restarts >= RESTARTS_MAX else "starting"
        if self.status == "paused":
            return "unhealthy"
        return "waiting" if self.status == "created" else "stopped"


def of_project(project: str) -> dict[str, Container]:
    """The project's containers, running or not, by the copy's name. Raises PrerequisiteMissing, TimedOut."""
    for attempt in (1, 2, 3):
        ids = compose_docker.ask("ps", "-aq", "--no-trunc", "--filter", f"label={PROJECT}={project}").split()
        if not ids:
            return {}
        try:
            found = json.loads(compose_docker.ask("container", "inspect", *ids))
        except ServiceFailed:  # one of them was removed meanwhile
            if attempt == 3:
                raise
        else:
            containers = [_container(each) for each in found if _is_a_copy(each["Config"]["Labels"])]
            return {container.name: container for container in containers}
    raise AssertionError("unreachable")


def _is_a_copy(labels: Mapping[str, str]) -> bool:
    """Whether a container is a copy of a service: one that does one thing and goes has no number, or is told apart."""
    return _NUMBER in labels and labels.get(_ONE_OFF) != "True"


def _container(inspected: Mapping[str, Any]) -> Container:
    state, labels = inspected["State"], inspected["Config"]["Labels"]
    return Container(
        id=inspected["Id"],
        name=copy_name(labels[_SERVICE], int(labels[_NUMBER])),
        status=state["Status"],
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        exit_code=int(state["ExitCode"]),
        once=inspected["HostConfig"]["RestartPolicy"]["Name"] not in ("always", "unless-stopped"),
        pid=_program(int(state["Pid"]), bool(inspected["HostConfig"].get("Init"))),
        started=datetime.fromisoformat(state["StartedAt"]).timestamp(),
        restarts=int(inspected["RestartCount"]),
    )


def _program(pid: int, init: bool) -> int | None:
    """The process that is meant: behind an init, its child. None when none runs."""
    with contextlib.suppress(OSError, IndexError):  # it has just ended, or the engine runs elsewhere
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]) if pid and init else pid or None
    return pid or None


def status_of(container: Container) -> ServiceStatus:
    """What `bdemo status` tells of it."""
    state = container.state
    failing = state in ("failed", "unhealthy") or container.status == "restarting"
    return ServiceStatus(
        container.name,
        state,
        pid=container.pid,
        uptime_s=max(0.0, time.time() - container.started) if container.pid else None,
        rss_bytes=resident_bytes(container.pid) if container.pid else None,
        restarts=container.restarts,
        error=last_errors(container) if failing else None,
    )


def last_errors(container: Container) -> str | None:
    """The newest lines of its log that tell of an error, or the newest at all."""
    return logfiles.telling(log_of(container, LOG_LINES).splitlines())


def log_of(container: Container, lines: int) -> str:
    """The newest lines of its log, of both streams. Raises as `compose_docker.ask`."""
    return compose_docker.ask("logs", "--tail", str(lines), container.id, both=True)


def copy_secrets(setup: Container, target: Path) -> None:
    """Copies the passwords, which the one-shot `setup` has generated, out of its volume."""
    compose_docker.ask("cp", f"{setup.id}:/secrets/setup/secrets.json", str(target))
    target.chmod(0o600)
