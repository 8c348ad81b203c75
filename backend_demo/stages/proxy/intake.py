"""From connections to Kafka: what has arrived goes out in batches, and each batch is answered when Kafka has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from backend_demo import metrics
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.topics import PARTITIONS, SENSOR_DATA
from backend_demo.faust_batch.producer import BatchProducer, Message, partition_of
from backend_demo.mqtt.filters import FilterIndex
from backend_demo.stages.proxy.bounds import TOPICS, Bounds
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.sink import count_dead_letters, dead_letter_messages
from backend_demo.telemetry import Tracing

#: The partition of a topic that no filter accepts.
NOT_ACCEPTED = -1


class Answered(Protocol):
    """Who waits for the answers to what it has sent."""

    def answer(self, packets: Sequence[bytes]) -> None:
        """Sends acknowledgements: Kafka has what they acknowledge."""


class Arrivals:
    """What has arrived since the last batch was sent."""

    __slots__ = ("answers", "chunks", "count", "letters", "records", "size")

    def __init__(self) -> None:
        self.records: list[list[Message]] = [[] for _ in range(PARTITIONS)]
        """Records of `sensor-data`, by partition."""
        self.letters: list[DeadLetter] = []
        self.answers: list[tuple[Answered, list[bytes]]] = []
        """The packets that each connection gets when Kafka has all of this, in the order of what they acknowledge."""
        self.chunks: list[tuple[float, int]] = []
        """When messages arrived, epoch seconds, and how many at once."""
        self.count = 0
        self.size = 0
        """Bytes of their payloads."""


class Routes:
    """Which topics hold readings, and the partition of each."""

    def __init__(self, filters: Sequence[str]) -> None:
        self._accepted: FilterIndex[bool] = FilterIndex()
        for each in filters:
            self._accepted.add(each, True)
        self._known: dict[bytes, int] = {}

    def partition(self, topic: bytes) -> int:
        """The partition of a valid topic; NOT_ACCEPTED when no filter matches it."""
        known = self._known.get(topic)
        if known is None:
            if len(self._known) >= TOPICS:  # a flood of made-up topics must not fill the memory
                self._known.clear()
            known = partition_of(topic, PARTITIONS) if self._accepted.find(topic.decode()) else NOT_ACCEPTED
            self._known[topic] = known
        return known


class MessageIntake:
    """Holds what is not acknowledged yet, within bounds for all connections together.

    `on_full` and `on_room` are called when the bounds are reached, and when half of them is free again.
    """

    def __init__(self, bounds: Bounds, on_full: Callable[[], None], on_room: Callable[[], None]) -> None:
        self.arrivals = Arrivals()
        self.held = 0
        """Messages that wait for Kafka, those of the batch under way included."""
        self.full = False
        self.closed = False
        """Whether it takes nothing more, since the service ends."""
        self.sent = 0
        """Batches so far; it rises with progress."""
        self.sending_since: float | None = None
        """Since when a batch waits for Kafka, seconds of the monotonic clock; None: there is none."""
        self._held_bytes = 0
        self._bounds = bounds
        self._on_full = on_full
        self._on_room = on_room
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def arrived(self, count: int, size: int) -> None:
        """Notes that so many messages were put into `arrivals`, with payloads of `size` bytes."""
        arrivals = self.arrivals
        arrivals.chunks.append((time.time(), count))
        arrivals.count += count
        arrivals.size += size
        self.held += count
        self._held_bytes += size
        self._wake.set()
        self._idle.clear()
        if not self.full and (self.held >= self._bounds.held or self._held_bytes >= self._bounds.held_bytes):
            self.full = True
            self._on_full()

    async def take(self) -> Arrivals:
        """Takes all that has arrived; waits for the first message."""
        await self._wake.wait()
        self._wake.clear()
        arrivals, self.arrivals = self.arrivals, Arrivals()
        self.sending_since = time.monotonic()
        return arrivals

    def acknowledge(self, arrivals: Arrivals) -> None:
        """Answers all that Kafka has now."""
        for connection, packets in arrivals.answers:
            connection.answer(packets)
        self.sending_since = None
        self.sent += 1
        self.held -= arrivals.count
        self._held_bytes -= arrivals.size
        metrics.mqtt_in_flight.set(self.held)
        if not self.held:
            self._idle.set()
        room = self.held <= self._bounds.held // 2 and self._held_bytes <= self._bounds.held_bytes // 2
        if self.full and room and not self.closed:
            self.full = False
            self._on_room()

    def close(self) -> None:
        """Takes nothing more."""
        self.full = self.closed = True
        self._on_full()

    async def emptied(self) -> None:
        """Waits until nothing is held."""
        await self._idle.wait()


async def run(intake: MessageIntake, producer: BatchProducer, process: ServiceProcess, tracing: Tracing) -> None:
    """Handles messages for ever.

    1. Take all that has arrived.
    2. Send it, with dead letters for what was refused; returns when Kafka has acknowledged all.
    3. Acknowledge the messages to their clients (PUBACK, PUBREC).
    """
    hop, done = metrics.hop_seconds.labels("mqtt", "mqtt"), metrics.records.labels("mqtt", "mqtt")
    batches, seconds = metrics.batches.labels("mqtt"), metrics.batch_seconds.labels("mqtt")
    while True:
        arrivals = await intake.take()  # 1
        begin = time.monotonic()
        messages = {(SENSOR_DATA, number): found for number, found in enumerate(arrivals.records) if found}
        with tracing.batch("process mqtt", arrivals.count, {}):
            await producer.send({**messages, **dead_letter_messages(arrivals.letters)}, tracing.headers)  # 2
        process.failpoints.hit("mqtt-before-puback")
        intake.acknowledge(arrivals)  # 3
        count_dead_letters("mqtt", arrivals.letters)
        done.inc(arrivals.count)
        metrics.observe_ages([hop], time.time(), [at for at, count in arrivals.chunks for _ in range(count)])
        batches.inc()
        seconds.observe(time.monotonic() - begin)
