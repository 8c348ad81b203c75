"""Stack: the interface of both stacks, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

State = Literal["fetching", "waiting", "starting", "ready", "unhealthy", "stopped", "failed"]


@dataclass(frozen=True)
class ServiceStatus:
    """One service at one moment."""

    name: str
    state: State
    pid: int | None = None
    uptime_s: float | None = None
    rss_bytes: int | None = None
    restarts: int = 0
    error: str | None = None
    """Last error lines, when it failed or is unhealthy."""
    detail: str = ""
    """What it is doing, while it comes up: `12.3 of 43.1 MB`, `waits for kafka`."""


@dataclass(frozen=True)
class LogLine:
    """One line of one service's log."""

    service: str
    time: float
    """Epoch seconds."""
    text: str


Report = Callable[[ServiceStatus], None]


class Stack(Protocol):
    """The services and servers of one state directory; tests/contract/test_stack.py holds for every implementation."""

    def up(self, services: Collection[str], report: Report) -> None:
        """Starts what does not run, with what it needs; returns when all are ready. Empty: every service.

        Raises PortInUse, ResourceInUse, PrerequisiteMissing, ServiceFailed, TimedOut.
        """

    def down(self, *, wipe: bool = False) -> bool:
        """Stops everything, also what a killed supervisor left; `wipe` deletes the data. False: nothing ran."""

    def status(self) -> list[ServiceStatus]:
        """Every service, in the order of the table. Raises NoStack."""

    def stop(self, service: str) -> None:
        """Stops one service and keeps it stopped until `start`. Raises NoStack, UnknownName."""

    def start(self, service: str) -> None:
        """Starts one service again and waits until it is ready. Raises NoStack, UnknownName, ServiceFailed."""

    def logs(self, services: Collection[str], *, lines: int, follow: bool) -> Iterator[LogLine]:
        """The newest `lines` of these services (empty: of all), merged by time; then, if asked, what comes."""
