"""Reads the metrics of running services, all copies at once, and only those that are wanted."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar
from urllib.parse import urlencode

from backend_demo.operations.observe.exposition import Samples, parse

Copy = TypeVar("Copy")
"""Identifies a copy of a service, usually by its name."""

TIMEOUT_S = 2.0
#: More than the copies of services on one machine.
CONNECTIONS = 16


@dataclass(frozen=True)
class Address:
    """Where one copy of a service serves `/metrics`."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """For people."""
        return f"http://{self.host}:{self.port}/metrics"


@dataclass(frozen=True)
class Scrape(Generic[Copy]):
    """The samples of all copies at one moment."""

    time: float
    """When it was read, epoch seconds."""
    copies: Mapping[Copy, Samples | None]
    """By copy; None: it does not answer."""


class Reader:
    """Reads these metrics, by name as they stand in the text: `..._total`, `..._bucket`."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        # the services filter by name: a tenth of the text, and of the work on both sides
        self._path = "/metrics?" + urlencode([("name[]", name) for name in sorted(names)])
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="metrics")
        self._connections: dict[tuple[object, Address], http.client.HTTPConnection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends its threads and connections."""
        self._pool.shutdown()
        for connection in self._connections.values():
            connection.close()

    def read(self, addresses: Mapping[Copy, Address]) -> Scrape[Copy]:
        """The samples of each copy, with the keys of the addresses."""
        now = time.time()
        return Scrape(now, dict(zip(addresses, self._pool.map(self._ask, addresses.items()), strict=True)))

    def _ask(self, copy: tuple[object, Address]) -> Samples | None:
        connection = self._connections.get(copy)
        if connection is None:
            address = copy[1]
            connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)
            self._connections[copy] = connection
        for _ in range(2):  # a kept connection may lead to a process that has ended
            kept = connection.sock is not None
            try:
                connection.request("GET", self._path)
                answer = connection.getresponse()
                text = answer.read()
                return parse(text.decode(), self._names) if answer.status == http.HTTPStatus.OK else None
            except (OSError, http.client.HTTPException, ValueError):
                with contextlib.suppress(OSError):
                    connection.close()
                if not kept:
                    break
        return None
