"""Shows services on their way up: a live table on a terminal, plain lines without one."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich import box
from rich.console import RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from backend_demo.cli.console import Console
from backend_demo.stack.base import ServiceStatus
from backend_demo.stack.services.table import services_of

#: Shortest time between two lines about a state that lasts, seconds: its detail (bytes fetched) changes all the time.
LINE_EVERY_S = 5.0

STYLES = {
    "ready": "green",
    "failed": "bold red",
    "unhealthy": "red",
    "fetching": "cyan",
    "starting": "yellow",
    "rebalancing": "yellow",
}

#: Marks of services that are not on their way.
MARKS: dict[str, RenderableType] = {
    "ready": Text("✓", "green"),
    "stopped": Text("■", "dim"),
    "failed": Text("✗", "red"),
    "off": Text("-", "dim"),
}


class StartProgress:
    """Shows what `Stack.up` and `Stack.scale` report, from any thread."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self._newest: dict[str, ServiceStatus] = {}
        self._ready_s: dict[str, float] = {}
        self._printed: dict[str, tuple[str, float]] = {}
        self._spinner = Spinner("dots")
        self._live = (
            Live(get_renderable=self._table, console=self._console, refresh_per_second=10, redirect_stdout=False)
            if self._console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.transient = not self._newest  # an error before anything began: leave no empty table
            self._live.stop()

    def report(self, status: ServiceStatus) -> None:
        """Takes one service's newest state."""
        with self._lock:
            now = time.monotonic() - self._begin
            self._newest[status.name] = status
            if status.state == "ready":
                self._ready_s[status.name] = now
            if self._live is None:
                self._print(status, now)

    def _print(self, status: ServiceStatus, now: float) -> None:
        state, printed_at = self._printed.get(status.name, ("", 0.0))
        if status.state != state or now - printed_at >= LINE_EVERY_S:
            self._printed[status.name] = (status.state, now)
            seconds = f"{now:6.1f} s" if status.state == "ready" else " " * 8
            line = f"{status.name:14} {status.state:11} {seconds}  {detail(status)}"
            self._console.print(line.rstrip(), style=None)

    def _table(self) -> RenderableType:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("", "component", "state", "detail"):
            table.add_column(column, no_wrap=True)
        table.add_column("seconds", justify="right")
        with self._lock:
            shown = sorted(self._newest, key=_place) or ["kafka"]
            now = time.monotonic() - self._begin
            for name in shown:
                status = self._newest.get(name, ServiceStatus(name, "starting"))
                mark = MARKS.get(status.state, self._spinner)
                seconds = f"{self._ready_s.get(name, now):.1f}"
                state = Text(status.state, STYLES.get(status.state, ""))
                table.add_row(mark, name, state, Text(detail(status), "dim"), seconds)
        return table


def detail(status: ServiceStatus) -> str:
    """What is added to the state of a service."""
    return "; ".join(filter(None, ("already running" if status.already_running else "", status.detail)))


def _place(name: str) -> tuple[int, str]:
    """The place of a service in the table: services in their usual order, each followed by its copies."""
    known = list(services_of("compose"))
    service = next((each for each in known if name == each or name.startswith(f"{each}-")), None)
    return (known.index(service) if service else len(known), name)
