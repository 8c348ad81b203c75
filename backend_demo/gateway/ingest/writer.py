"""Writes what has arrived to Kafka, for all requests of this process, and knows when Kafka is away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import structlog

from backend_demo import metrics
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.topics import DEAD_LETTER, PARTITIONS, SENSOR_DATA
from backend_demo.faust_batch.producer import BatchProducer, Message, partition_of
from backend_demo.gateway.ingest.intake import STAGE, IngestPart

#: Time for Kafka to acknowledge a part, seconds; a broker that restarts takes about three.
ACKNOWLEDGE_S = 5.0
#: Requests that are read at once: each holds a part of at most a megabyte.
AT_ONCE = 32
#: Time for which a request waits for its turn, seconds.
TURN_S = 5.0

log = structlog.get_logger()


class KafkaAway(Exception):
    """Kafka has not acknowledged in time; what was sent may still be written when it is back."""


class TooBusy(Exception):
    """A request did not get its turn in time."""


class ReadingWriter:
    """One producer for all requests. It connects at the first one, so that the gateway starts without Kafka."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._producer = BatchProducer(**brokers.connection(), client_id="bdemo-gateway")
        self._tasks: asyncio.TaskGroup | None = None
        self._overdue: set[asyncio.Task[None]] = set()
        """Sends that nobody waits for any more. They are not cancelled: the producer must know how a batch ends."""
        self._closing = asyncio.Event()

    async def run(self) -> None:
        """Owns the sends, also those that outlast their request; never returns."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await asyncio.Event().wait()
        finally:
            self._tasks = None
            await self._producer.stop()

    def close(self) -> None:
        """Ends the waiting for Kafka, so that requests are answered before the gateway stops."""
        self._closing.set()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Held by a request while its body is read. Raises TooBusy."""
        try:
            async with asyncio.timeout(TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise TooBusy from None
        try:
            yield
        finally:
            self._turns.release()

    def check(self) -> None:
        """Raises KafkaAway while an earlier send is overdue: there must not be ever more of them."""
        if self._overdue or self._closing.is_set():
            raise KafkaAway

    async def write(self, part: IngestPart) -> None:
        """Returns when Kafka has acknowledged all of it. Raises KafkaAway."""
        messages = to_messages(part)
        if not messages:
            return
        self.check()
        assert self._tasks is not None  # noqa: S101 - narrows a type
        sending = self._tasks.create_task(self._producer.send(messages))
        closing = self._tasks.create_task(self._closing.wait())
        try:
            await asyncio.wait({sending, closing}, timeout=ACKNOWLEDGE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            if not sending.done():
                self._leave(sending)
        if not sending.done():
            raise KafkaAway
        sending.result()
        metrics.http_readings.inc(len(part.records))
        for letter in part.dead_letters:
            metrics.dead_letters.labels(STAGE, letter.reason).inc()

    def _leave(self, sending: asyncio.Task[None]) -> None:
        if not self._overdue:
            log.warning("readings by HTTP wait for Kafka", bootstrap=str(self._brokers))
        self._overdue.add(sending)
        sending.add_done_callback(self._back)

    def _back(self, sending: asyncio.Task[None]) -> None:
        self._overdue.discard(sending)
        if not self._overdue and not sending.cancelled():
            log.info("readings by HTTP are taken again")


def to_messages(part: IngestPart) -> Mapping[tuple[str, int], Sequence[Message]]:
    """The records and dead letters of a part, by topic and partition."""
    messages: dict[tuple[str, int], list[Message]] = {}
    for key, value in part.records:
        messages.setdefault((SENSOR_DATA, partition_of(key, PARTITIONS)), []).append((key, value))
    for letter in part.dead_letters:
        message = (letter.record_key(), letter.value(), letter.headers())
        messages.setdefault((DEAD_LETTER, _partition(letter)), []).append(message)
    return messages


def _partition(letter: DeadLetter) -> int:
    return partition_of(letter.key or b"", PARTITIONS)
