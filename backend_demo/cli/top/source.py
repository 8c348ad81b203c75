"""Where `bdemo top` gets its data: a running stack of either kind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from backend_demo.domain.reading import Reading
from backend_demo.errors import BdemoError
from backend_demo.operations.observe.overview import NAMES
from backend_demo.operations.observe.samples import Address, Reader, Scrape
from backend_demo.operations.query import Gateway
from backend_demo.stack.base import LogLine, ServiceStatus
from backend_demo.stack.open import stack_in
from backend_demo.stack.services.copies import copy_name, stats_port_of
from backend_demo.stack.services.table import counted
from backend_demo.stack.state.directory import StateDirectory


class TopSource(Protocol):
    """What `bdemo top` needs to know. Every call may take some seconds and may come from any thread."""

    @property
    def place(self) -> str:
        """The kind of stack: embedded or compose."""

    def scrape(self) -> Scrape[str]:
        """The metrics of every copy that should be running. Raises NoStack."""

    def services(self) -> Sequence[ServiceStatus]:
        """The state of each service as the stack sees it, which is expensive. Raises NoStack, ServiceFailed."""

    def latest(self) -> Sequence[Reading]:
        """The newest reading of every sensor, by sensor. Raises NoStack, ServiceFailed, TimedOut."""

    def names(self, sensors: Iterable[int]) -> Mapping[int, str]:
        """Names of these sensors, and maybe others, by number. Raises ServiceFailed, TimedOut."""

    def dead_letters(self) -> int | None:
        """How many dead letters Kafka has; None: the gateway or Kafka does not answer."""

    def restart(self, service: str) -> None:
        """Stops and starts one copy; returns when it is ready. Raises BdemoError."""

    def logs(self, service: str, lines: int) -> Sequence[LogLine]:
        """The newest lines of one copy's log. Raises NoStack, UnknownName."""


class StackSource:
    """The stack of a state directory. Its record is read each time, since copies and ports can change meanwhile."""

    def __init__(self, state_dir: Path, *, token: str = "") -> None:
        """`token`: of the gateway, if it needs one."""
        self._state = StateDirectory(state_dir)
        self._token = token
        self._reader = Reader(NAMES)
        self._gateways: dict[str, Gateway] = {}
        self.place = str(self._state.record.settings()["stack"])

    def close(self) -> None:
        """Closes its connections."""
        with contextlib.ExitStack() as connections:
            connections.callback(self._reader.close)
            for gateway in self._gateways.values():
                connections.enter_context(gateway)

    def scrape(self) -> Scrape[str]:
        """As `TopSource.scrape`."""
        saved = self._state.record.settings()
        return self._reader.read(
            {
                copy_name(service.name, number): Address(saved["stats_host"], stats_port_of(service, number, saved))
                for service, count in counted(self._state.record.copies())
                for number in range(1, count + 1)
            }
        )

    def services(self) -> Sequence[ServiceStatus]:
        """As `TopSource.services`."""
        return stack_in(self._state.path).status()

    def latest(self) -> Sequence[Reading]:
        """As `TopSource.latest`: from the gateway, so that the cost does not grow with the rate."""
        return [Reading(*row) for row in self._gateway().latest().rows]

    def dead_letters(self) -> int | None:
        """As `TopSource.dead_letters`: from the gateway."""
        try:
            return self._gateway().dead_letters_total()
        except BdemoError:
            return None

    def _gateway(self) -> Gateway:
        url = str(self._state.record.settings()["gateway_url"])
        if url not in self._gateways:
            self._gateways[url] = Gateway(url, self._token)
        return self._gateways[url]

    def names(self, sensors: Iterable[int]) -> Mapping[int, str]:
        """As `TopSource.names`: of the gateway that `latest` asked."""
        for gateway in self._gateways.values():
            return gateway.names_of(sensors)
        return {}

    def restart(self, service: str) -> None:
        """As `TopSource.restart`."""
        stack = stack_in(self._state.path)
        stack.stop(service)
        stack.start(service)

    def logs(self, service: str, lines: int) -> Sequence[LogLine]:
        """As `TopSource.logs`."""
        return list(stack_in(self._state.path).logs([service], lines=lines, follow=False))
