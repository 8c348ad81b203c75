"""Stack: the interface of both stacks, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from backend_demo.log_event import LEVELS

State = Literal["fetching", "waiting", "starting", "ready", "unhealthy", "stopped", "failed", "off"]
"""`stopped`: it should run, and does not; `off`: no `up` has asked for it."""

NO_CHANGE: Mapping[str, int] = MappingProxyType({})
"""As many copies of every service as there are: one, until somebody scales it."""


@dataclass(frozen=True)
class ServiceStatus:
    """One copy of one service at one moment."""

    name: str
    """The service's, for its first copy; `processing-2`, `processing-3` for the others."""
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
    """As it stands in the log: JSON, if the service is one of ours."""
    level: str = "info"
    """One of log_event.LEVELS; of a line that does not say, its predecessor's."""


@dataclass(frozen=True)
class LogFilter:
    """Which lines are wanted: of this level or above, not older than this (epoch seconds)."""

    level: str = LEVELS[0]
    since: float = 0.0

    def __call__(self, line: LogLine) -> bool:
        return line.time >= self.since and LEVELS.index(line.level) >= LEVELS.index(self.level)


ALL_LINES = LogFilter()

Report = Callable[[ServiceStatus], None]


class Stack(Protocol):
    """The services and servers of one state directory; tests/contract/test_stack.py holds for every implementation.

    Where one service is named, `processing` means all copies of it, `processing-2` that one, `processing-1` the first.
    """

    def up(
        self,
        services: Collection[str],
        report: Report,
        *,
        without: Collection[str] = (),
        scale: Mapping[str, int] = NO_CHANGE,
    ) -> None:
        """Starts what does not run, with what it needs; returns when all are ready.

        Empty: every service but those `without`, of which none is stopped. `scale`: copies by service; of the others
        there are as many as before, until `down`.

        Raises PortInUse, ResourceInUse, PrerequisiteMissing, ServiceFailed, TimedOut; UnknownName; UsageError when
        something is left out that another service needs, or there cannot be so many copies.
        """

    def scale(self, copies: Mapping[str, int], report: Report) -> None:
        """Starts or ends copies of these services on a running stack; returns when those that stay are ready.

        A service of which none runs is started, with what it needs. Raises what `up` raises, NoStack.
        """

    def down(self, *, wipe: bool = False) -> bool:
        """Stops everything, also what a killed supervisor left; `wipe` deletes the data. False: nothing ran."""

    def status(self) -> list[ServiceStatus]:
        """Every service, each copy, in the order of the table. Raises NoStack."""

    def stop(self, service: str) -> None:
        """Stops one service and keeps it stopped until `start`. Raises NoStack, UnknownName."""

    def start(self, service: str) -> None:
        """Starts one service again and waits until it is ready. Raises NoStack, UnknownName, ServiceFailed."""

    def logs(
        self, services: Collection[str], *, lines: int, follow: bool, wanted: LogFilter = ALL_LINES
    ) -> Iterator[LogLine]:
        """The newest `lines` of these services (empty: of all), merged by time; then, if asked, what comes."""
