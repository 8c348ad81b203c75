"""Faults in the containers of the compose stack."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator, Mapping
from functools import partial

from backend_demo.domain.fault import FaultKind
from backend_demo.errors import NoStack
from backend_demo.stack import time_limits
from backend_demo.stack.compose import containers as compose_containers
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.compose.containers import Container
from backend_demo.stack.compose.project import Project
from backend_demo.stack.services.service import Service
from backend_demo.stack.services.table import services_of, shown
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.threads import at_once
from backend_demo.stack.undo import Undo

#: What Docker does at the beginning of each kind of fault, and at its end: the engine starts nothing again that was
#: ended through it, also not after a kill.
_COMMANDS: Mapping[FaultKind, tuple[str, str]] = {
    "kill": ("kill", "start"),
    "pause": ("pause", "unpause"),
    "restart": ("stop", "start"),
}


class ComposeFaults:
    """A `FaultMaker` of containers."""

    def __init__(self, state: StateDirectory) -> None:
        self.state = state
        self._project = Project(state)

    @property
    def table(self) -> Mapping[str, Service]:
        """As `FaultMaker.table`."""
        return services_of("compose", self._project.plan().profiles)

    def running(self) -> list[str]:
        """As `FaultMaker.running`."""
        found = self._containers()
        return [
            name
            for name in shown(self.state.record.copies(), (), self.table)
            if name in found and found[name].status == "running"
        ]

    @contextlib.contextmanager
    def fault(self, kind: FaultKind, copies: Collection[str], *, held: bool) -> Iterator[None]:
        """As `FaultMaker.fault`."""
        found = self._containers()
        begin, end = _COMMANDS[kind]
        with Undo("docker", end) as undo:
            for name in copies:
                undo.note(found[name].id)
            ask = partial(compose_docker.ask, begin, limit_s=time_limits.PATIENCE_S)
            at_once({name: partial(ask, found[name].id) for name in copies}, threading.Event())
            yield

    def _containers(self) -> dict[str, Container]:
        """The containers of the stack that runs. Raises NoStack."""
        found = compose_containers.of_project(self._project.name) if self.state.record.kind() == "compose" else {}
        if not any(each.runs for each in found.values()):
            raise NoStack(self.state.path)
        return found
