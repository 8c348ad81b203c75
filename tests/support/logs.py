"""The log that stages read and write, in memory and as the real Kafka has it, in one form for one suite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import faust
from aiokafka.admin import NewTopic
from faust.types import TP
from yarl import URL

from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers, faust_credentials
from backend_demo.faust_batch.batch import Batch, BatchSchema, PartitionListener, batches
from backend_demo.faust_batch.producer import BatchProducer, Headers, Message
from backend_demo.faust_batch.transport import Transport
from backend_demo.kafka_record import LogRange
from tests.support.kafka_log import Log, LogConsumer, LogProducer

PARTITIONS = 2

Messages = Mapping[tuple[str, int], Sequence[Message]]


class Member(Protocol):
    """A member of a consumer group."""

    async def take(self, count: int) -> list[Batch]:
        """Batches with so many records in all."""


class Kafka(Protocol):
    """A cluster, to be used in one event loop."""

    async def create(self, topics: Sequence[str]) -> None:
        """Creates topics with PARTITIONS partitions each."""

    async def create_again(self, topic: str) -> None:
        """Deletes a topic and creates another one of the same name."""

    async def send(self, messages: Messages, headers: Headers = ()) -> None:
        """Returns when every record is acknowledged."""

    def member(
        self, group: str, topics: Sequence[str], listener: PartitionListener | None = None
    ) -> AbstractAsyncContextManager[Member]:
        """Joins a group that has no other member; leaves it at the end, as a service that is stopped."""

    async def close(self) -> None:
        """Releases what the event loop holds."""


# -- in memory


class MemberInMemory:
    def __init__(self, consumer: LogConsumer) -> None:
        self._consumer = consumer

    async def take(self, count: int) -> list[Batch]:
        taken: list[Batch] = []
        while sum(map(size, taken)) < count:
            batch = self._consumer.poll([count])
            assert batch is not None, "nothing more to read"
            taken.append(batch)
        return taken


class KafkaInMemory:
    def __init__(self) -> None:
        self._log = Log()

    async def create(self, topics: Sequence[str]) -> None:
        """Topics exist as soon as they are used."""

    async def create_again(self, topic: str) -> None:
        self._log.create_again(topic)

    async def send(self, messages: Messages, headers: Headers = ()) -> None:
        await LogProducer(self._log).send(messages, headers)

    @asynccontextmanager
    async def member(
        self, group: str, topics: Sequence[str], listener: PartitionListener | None = None
    ) -> AsyncIterator[Member]:
        consumer = LogConsumer(self._log, group, topics)
        await consumer.assigned(range(PARTITIONS), listener)
        yield MemberInMemory(consumer)
        await consumer.revoked(listener)

    async def close(self) -> None:
        """Nothing is open."""


# -- the real one


class RealMember:
    def __init__(self, arrived: asyncio.Queue[Batch]) -> None:
        self._arrived = arrived

    async def take(self, count: int) -> list[Batch]:
        taken: list[Batch] = []
        async with asyncio.timeout(60):
            while sum(map(size, taken)) < count:
                taken.append(await self._arrived.get())
        return taken


class RealKafka:
    def __init__(self, brokers: Brokers, folder: Path) -> None:
        self._brokers = brokers
        self._folder = folder
        self._producer = BatchProducer(**brokers.connection(), client_id="contract")

    async def create(self, topics: Sequence[str]) -> None:
        async with kafka.admin(self._brokers, "contract", limit_s=30, request_timeout_s=20) as admin:
            await admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics])
        async with asyncio.timeout(30):
            while True:
                if {await self._producer.partitions(topic) for topic in topics} == {PARTITIONS}:
                    return
                await asyncio.sleep(0.05)

    async def create_again(self, topic: str) -> None:
        async with kafka.admin(self._brokers, "contract", limit_s=60, request_timeout_s=20) as admin:
            await admin.delete_topics([topic])
            async with asyncio.timeout(30):
                while True:
                    if topic not in await admin.list_topics():
                        break
                    await asyncio.sleep(0.05)
        await self.create([topic])

    async def send(self, messages: Messages, headers: Headers = ()) -> None:
        await self._producer.send(messages, headers)

    @asynccontextmanager
    async def member(
        self, group: str, topics: Sequence[str], listener: PartitionListener | None = None
    ) -> AsyncIterator[Member]:
        server = [URL(f"kafka://{self._brokers}")]
        app = faust.App(
            group,
            broker_credentials=faust_credentials(self._brokers),
            broker=server,
            datadir=str(self._folder / group),
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_wait_empty=False,
            stream_buffer_maxsize=4,
            consumer_auto_offset_reset="earliest",
        )
        app.transport = Transport(server, app, listener=listener)
        arrived: asyncio.Queue[Batch] = asyncio.Queue()

        @app.agent(app.topic(*topics, schema=BatchSchema()))
        async def agent(stream: Any) -> None:
            async for batch in batches(stream):
                arrived.put_nowait(batch)

        await app.start()
        try:
            yield RealMember(arrived)
        finally:
            await app.consumer.settle()
            await app.stop()

    async def close(self) -> None:
        await self._producer.stop()


def size(batch: Batch) -> int:
    """Its records."""
    return sum(map(len, batch.records.values()))


class Listener:
    """Remembers what it hears, and begins where it is told."""

    def __init__(self, begin_at: Mapping[TP, int] | None = None) -> None:
        self.logs: dict[TP, LogRange] = {}
        self.to_acknowledge: list[Batch] = []
        """Batches that it acknowledges when partitions go."""
        self._begin_at = begin_at or {}

    async def assigned(self, partitions: Mapping[TP, LogRange]) -> Mapping[TP, int]:
        self.logs.update(partitions)
        return self._begin_at

    async def revoked(self, partitions: frozenset[TP]) -> None:
        for batch in self.to_acknowledge:
            batch.ack()
