"""Where `bdemo top` gets what it shows: a running stack, of either kind."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from backend_demo.domain.reading import Reading
from backend_demo.operations.overview import NAMES
from backend_demo.operations.query import Gateway
from backend_demo.operations.samples import Address, Reader, Scrape
from backend_demo.stack.base import LogLine, ServiceStatus
from backend_demo.stack.open import stack_in
from backend_demo.stack.services import SERVICES, copy_names, stats_port
from backend_demo.stack.state import StateDirectory


class Source(Protocol):
    """What can be asked; every call may wait for a few seconds, and may be made from any thread."""

    @property
    def place(self) -> str:
        """What is looked at, in a word."""

    def scrape(self) -> Scrape[str]:
        """The metrics of every copy that is to run. Raises NoStack."""

    def services(self) -> Sequence[ServiceStatus]:
        """What the stack says; dear. Raises NoStack, ServiceFailed."""

    def latest(self) -> Sequence[Reading]:
        """The newest reading of every sensor, by sensor. Raises NoStack, ServiceFailed, TimedOut."""

    def restart(self, service: str) -> None:
        """Stops and starts one copy; returns when it is ready. Raises BdemoError."""

    def logs(self, service: str, lines: int) -> Sequence[LogLine]:
        """The newest lines of one copy's log. Raises NoStack, UnknownName."""


class StackSource:
    """The stack of a state directory. Its record is read each time: copies and ports change while one looks on."""

    def __init__(self, state_dir: Path, *, token: str = "") -> None:
        """`token`: for a gateway that asks for one."""
        self._state = StateDirectory(state_dir)
        self._token = token
        self._reader = Reader(NAMES)
        self._gateways: dict[str, Gateway] = {}
        self.place = str(self._state.saved()["stack"])

    def close(self) -> None:
        """Ends its connections."""
        with contextlib.ExitStack() as connections:
            connections.callback(self._reader.close)
            for gateway in self._gateways.values():
                connections.enter_context(gateway)

    def scrape(self) -> Scrape[str]:
        """As `Source.scrape`."""
        saved = self._state.saved()
        return self._reader.read(
            {
                name: Address(saved["stats_host"], stats_port(name, saved))
                for service, count in self._state.wanted().items()
                if service in SERVICES and SERVICES[service].ours
                for name in copy_names(service, count)
            }
        )

    def services(self) -> Sequence[ServiceStatus]:
        """As `Source.services`."""
        return stack_in(self._state.path).status()

    def latest(self) -> Sequence[Reading]:
        """As `Source.latest`: from the gateway, so the cost does not grow with the rate."""
        url = str(self._state.saved()["gateway_url"])
        if url not in self._gateways:
            self._gateways[url] = Gateway(url, self._token)
        return [Reading(*row) for row in self._gateways[url].latest().rows]

    def restart(self, service: str) -> None:
        """As `Source.restart`."""
        stack = stack_in(self._state.path)
        stack.stop(service)
        stack.start(service)

    def logs(self, service: str, lines: int) -> Sequence[LogLine]:
        """As `Source.logs`."""
        return list(stack_in(self._state.path).logs([service], lines=lines, follow=False))
