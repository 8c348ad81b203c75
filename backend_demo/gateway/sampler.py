"""Samples the metrics of all services once a second while clients ask for them, however many there are."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from backend_demo.gateway.targets import Targets
from backend_demo.operations.observe.overview import NAMES, overview
from backend_demo.operations.observe.samples import Reader, Scrape
from backend_demo.operations.observe.view import ServiceView

if TYPE_CHECKING:
    from backend_demo.gateway.readiness import Readiness
    from backend_demo.settings import Settings

EVERY_S = 1.0
#: Number of samples that rates cover: a stage takes readings in batches.
SAMPLES = 2
#: Time without a request after which sampling pauses, seconds.
IDLE_S = 10.0
CONNECT_S = 1.0
#: Time limit of an answer, more than a sample takes when services hang, seconds.
ANSWER_S = 10.0


class StatsSampler:
    """The overview of the stack, shared by all clients."""

    def __init__(
        self, settings: Settings, readiness: Readiness, dead_letters: Callable[[], Awaitable[int | None]]
    ) -> None:
        """`dead_letters`: how many Kafka has; None: not known."""
        self._settings = settings
        self._readiness = readiness
        self._dead_letters = dead_letters
        self._targets = Targets(settings)
        self._scrapes: deque[Scrape[str]] = deque(maxlen=SAMPLES + 1)
        self._asked = asyncio.Event()
        self._last_asked = 0.0
        self._sampled = asyncio.Event()
        self._document = b""

    async def document(self) -> bytes:
        """The overview as JSON. The first one after a pause comes at once, without rates. Raises TimeoutError."""
        self._last_asked = time.monotonic()
        self._asked.set()
        async with asyncio.timeout(ANSWER_S):
            await self._sampled.wait()
        return self._document

    async def run(self) -> None:
        """Samples forever."""
        with Reader(NAMES) as reader:
            while True:
                await self._asked.wait()
                while (began := time.monotonic()) - self._last_asked < IDLE_S:
                    servers = await self._servers()
                    total = await self._dead_letters() if servers[0].state == "ready" else None
                    self._document = await asyncio.to_thread(self._sample, reader, servers, total)
                    self._sampled.set()
                    await asyncio.sleep(EVERY_S - (time.monotonic() - began))
                self._asked.clear()
                self._sampled.clear()
                self._scrapes.clear()

    def _sample(self, reader: Reader, servers: tuple[ServiceView, ...], dead_letters: int | None) -> bytes:
        """Runs in a thread, since it waits for services and computes for some milliseconds."""
        before = self._scrapes[0] if self._scrapes else None
        now = reader.read(self._targets.read())
        self._scrapes.append(now)
        # a copy whose metrics do not answer is down; all else about processes only the stack knows
        copies = [ServiceView(name, "ready", restarts=None) for name in now.copies]
        return msgspec.json.encode(overview(before, now, [*servers, *copies], dead_letters_total=dead_letters))

    async def _servers(self) -> tuple[ServiceView, ...]:
        kafka = await _accepts(*(each.strip().rsplit(":", 1) for each in self._settings.kafka_bootstrap.split(",")))
        missing = self._readiness.missing
        return (
            ServiceView("kafka", "ready" if kafka else "down", restarts=None),
            ServiceView("postgres", "down" if missing else "ready", restarts=None, error=missing),
        )


async def _accepts(*addresses: Any) -> bool:
    """Whether one of these addresses accepts connections."""
    for host, port in addresses:
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(host, int(port))
        except OSError:  # TimeoutError is one
            continue
        writer.close()
        return True
    return False
