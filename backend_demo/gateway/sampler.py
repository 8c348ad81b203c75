"""Looks at the metrics of all services while somebody asks for them: once a second, however many ask."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from backend_demo.operations.overview import NAMES, Overview, ServiceView, overview
from backend_demo.operations.samples import Address, Reader, Scrape

if TYPE_CHECKING:
    from backend_demo.gateway.health import Readiness
    from backend_demo.settings import Settings

EVERY_S = 1.0
#: Rates are of so many looks, as a stage takes readings in batches.
LOOKS = 2
#: After so long without a question nobody looks any more.
IDLE_S = 10.0
CONNECT_S = 1.0
#: More than a look takes when services hang.
ANSWER_S = 10.0

SERVICES = ("bridge", "collection", "processing", "aggregation", "loader", "gateway")

log = structlog.get_logger()


@dataclass(frozen=True)
class Known:
    """A service that is to run, as far as anybody knows who sees its metrics only: if they do not answer, it is down.

    Its process belongs to the stack, which alone could tell the rest.
    """

    name: str
    state: str = "ready"
    pid: int | None = None
    uptime_s: float | None = None
    rss_bytes: int | None = None
    restarts: int = 0
    error: str | None = None


class Sampler:
    """The overview of the stack, shared by all who ask."""

    def __init__(self, settings: Settings, readiness: Readiness) -> None:
        self._settings = settings
        self._readiness = readiness
        self._targets = Targets(settings)
        self._scrapes: deque[Scrape[str]] = deque(maxlen=LOOKS + 1)
        self._asked = asyncio.Event()
        self._last_asked = 0.0
        self._looked = asyncio.Event()
        self._document = b""

    async def document(self) -> bytes:
        """The overview as JSON. The first one after a pause comes at once, and without rates. Raises TimeoutError."""
        self._last_asked = time.monotonic()
        self._asked.set()
        async with asyncio.timeout(ANSWER_S):
            await self._looked.wait()
        return self._document

    async def run(self) -> None:
        """Looks, for ever."""
        with Reader(NAMES) as reader:
            while True:
                await self._asked.wait()
                while (began := time.monotonic()) - self._last_asked < IDLE_S:
                    servers = await self._servers()
                    self._document = await asyncio.to_thread(self._look, reader, servers)
                    self._looked.set()
                    await asyncio.sleep(EVERY_S - (time.monotonic() - began))
                self._asked.clear()
                self._looked.clear()
                self._scrapes.clear()

    def _look(self, reader: Reader, servers: tuple[ServiceView, ...]) -> bytes:
        """Waits for services, and computes for some milliseconds: in a thread."""
        now = reader.read(self._targets.read())
        before = self._scrapes[0] if self._scrapes else Scrape(now.time, dict[str, Any]())
        self._scrapes.append(now)
        found = overview(before, now, [Known(name) for name in now.copies])
        found = replace(found, services=(*servers, *found.services))
        return encode(found, rates=before.time < now.time)

    async def _servers(self) -> tuple[ServiceView, ...]:
        kafka, mqtt = await asyncio.gather(
            _accepts(*(tuple(each.strip().rsplit(":", 1)) for each in self._settings.kafka_bootstrap.split(","))),
            _accepts((self._settings.mqtt_host, self._settings.mqtt_port)),
        )
        missing = self._readiness.missing
        return (
            ServiceView("kafka", "ready" if kafka else "down"),
            ServiceView("mqtt", "ready" if mqtt else "down"),
            ServiceView("postgres", "down" if missing else "ready", error=missing),
        )


def encode(found: Overview, *, rates: bool) -> bytes:
    """The overview as JSON; without `rates` there was nothing to compare it with."""
    document = msgspec.to_builtins(found)
    for service in document["services"]:
        service["restarts"] = None  # and nobody knows a process by its metrics either
    if not rates:
        document["interval_s"] = None
    return msgspec.json.encode({"healthy": found.healthy, **document})


async def _accepts(*addresses: Any) -> bool:
    """Whether somebody listens at one of these addresses."""
    for host, port in addresses:
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(host, int(port))
        except OSError:  # TimeoutError is one
            continue
        writer.close()
        return True
    return False


# -- where the metrics are


class _Labels(msgspec.Struct):
    job: str
    service: str
    instance: str


class _Target(msgspec.Struct):
    targets: list[str]
    labels: _Labels


_decode = msgspec.json.Decoder(list[_Target]).decode


class Targets:
    """Where every copy of a service serves its metrics, now: copies come and go."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.metrics_targets
        host = settings.stats_host
        local = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
        self._found: Mapping[str, Address] = {name: Address(local, settings.stats_port(name)) for name in SERVICES}
        self._told = False

    def read(self) -> Mapping[str, Address]:
        """By the name of the copy; as it was before, while the file cannot be read."""
        if self._file is not None:
            try:
                self._found = parse(self._file.read_bytes())
                self._told = False
            except (OSError, ValueError) as problem:
                if not self._told:
                    log.warning("targets unreadable", file=str(self._file), reason=str(problem))
                self._told = True
        return self._found


def parse(content: bytes) -> dict[str, Address]:
    """The addresses in a file of targets, by the name of the copy. Raises ValueError."""
    found = {}
    for entry in _decode(content):
        labels = entry.labels
        # an instance is called after its job, which for some services is the original's word for them
        name = labels.service + labels.instance.rpartition(":")[0].removeprefix(labels.job)
        host, _, port = entry.targets[0].rpartition(":")
        found[name] = Address(host, int(port))
    return found
