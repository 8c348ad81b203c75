"""Stack: the interface of both stacks, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from backend_demo.log_event import LEVELS

ServiceState = Literal[
    "fetching", "waiting", "starting", "ready", "rebalancing", "unhealthy", "stopped", "failed", "off"
]
"""State of a copy of a service.

`waiting`: for another service, while it comes up or when that no longer answers. `rebalancing`: it has been ready and
waits for seconds while its consumer group assigns the partitions again, since a copy joins or leaves. `stopped`: it
should run and does not. `off`: no `up` has asked for it.
"""

HEALTHY: Collection[ServiceState] = frozenset({"ready", "rebalancing", "off"})
"""States in which nothing needs to be fixed."""

NO_CHANGE: Mapping[str, int] = MappingProxyType({})
"""The copies stay as many as they are: one of each service until it is scaled."""


@dataclass(frozen=True)
class ServiceStatus:
    """One copy of one service at one moment."""

    name: str
    """The name of the service for its first copy; `processing-2`, `processing-3` for the others."""
    state: ServiceState
    pid: int | None = None
    uptime_s: float | None = None
    rss_bytes: int | None = None
    restarts: int = 0
    error: str | None = None
    """Its last error lines when it failed or is unhealthy, or what it waits for."""
    already_running: bool = False
    """It was ready before `up` began, which did nothing with it."""
    detail: str = ""
    """What it is doing while it comes up, for people to read: `12.3 of 43.1 MB`, `waiting for kafka`."""


@dataclass(frozen=True)
class LeftOut:
    """An optional service that `up` could not bring up."""

    name: str
    reason: str


@dataclass(frozen=True)
class StackChange:
    """What `up` or `scale` has done, copy by copy."""

    started: tuple[str, ...] = ()
    """Copies that did not run before, or hung and were restarted."""
    stopped: tuple[str, ...] = ()
    """Copies that were more than wanted."""
    already_running: tuple[str, ...] = ()
    """Copies whose process is the same as before."""
    left_out: tuple[LeftOut, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was started or stopped."""
        return bool(self.started or self.stopped)


@dataclass(frozen=True)
class LogLine:
    """One line of one service's log."""

    service: str
    time: float
    """Epoch seconds."""
    text: str
    """The line as it was written: JSON if the service is one of ours."""
    level: str = "info"
    """One of log_event.LEVELS; a line without a level has that of the line before."""


@dataclass(frozen=True)
class LogFilter:
    """Selects log lines: of this level or above, not older than `since` (epoch seconds)."""

    level: str = LEVELS[0]
    since: float = 0.0

    def __call__(self, line: LogLine) -> bool:
        return line.time >= self.since and LEVELS.index(line.level) >= LEVELS.index(self.level)


ALL_LINES = LogFilter()

Report = Callable[[ServiceStatus], None]
"""Receives the progress of each copy, from any thread."""


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
    ) -> StackChange:
        """Starts what does not run, with what it needs; returns when one look finds all of them ready.

        No `services` means every service except those in `without`; what is left out is not stopped. `scale` is the
        number of copies by service; the others keep theirs, until `down`.

        Raises PortInUse, ResourceInUse, PrerequisiteMissing, ServiceFailed, TimedOut; UnknownName; UsageError when
        a service is left out that another one needs, or cannot have that many copies.
        """

    def scale(self, copies: Mapping[str, int], report: Report) -> StackChange:
        """Starts or ends copies of these services on a running stack; returns when one look finds the rest ready.

        A service that does not run is started, with what it needs. Raises what `up` raises, NoStack.
        """

    def down(self, *, wipe: bool = False) -> bool:
        """Stops everything, also what a killed supervisor left; `wipe` deletes the data. False: nothing ran."""

    def status(self) -> list[ServiceStatus]:
        """Every copy of every service, in the order of the table. Raises NoStack."""

    def stop(self, service: str) -> None:
        """Stops one service and keeps it stopped until `start`. Raises NoStack, UnknownName."""

    def start(self, service: str) -> None:
        """Starts one service again; returns when one look finds all its copies ready.

        Raises NoStack, UnknownName, ServiceFailed, TimedOut.
        """

    def logs(
        self, services: Collection[str], *, lines: int, follow: bool, wanted: LogFilter = ALL_LINES
    ) -> Iterator[LogLine]:
        """The newest `lines` of these services (empty: of all), merged by time; then new ones if `follow`."""
