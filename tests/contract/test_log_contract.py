"""What stages expect of Kafka: of the real one, through our producer and consumer, and of the one in memory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import faust
import pytest
from aiokafka.admin import NewTopic
from faust.types import TP
from yarl import URL

from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers, faust_credentials
from backend_demo.faust_batch.batch import Batch, BatchSchema, PartitionListener, batches
from backend_demo.faust_batch.producer import BatchProducer, Headers, Message
from backend_demo.faust_batch.transport import Transport
from backend_demo.settings import Settings
from backend_demo.stack.open import open_stack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN
from tests.support.kafka import brokers as brokers_of
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """An embedded Kafka and nothing else."""
    folder = tmp_path_factory.mktemp("kafka") / "state"
    stack = open_stack(Settings(state_dir=folder, stack="embedded"), any_port=True)
    stack.up(("kafka",), lambda status: None)
    try:
        yield brokers_of(StateDirectory(folder).attached(Settings(state_dir=folder), kafka=KAFKA_ADMIN))
    finally:
        stack.down(wipe=True)


Scenario = Callable[[Kafka], Coroutine[Any, Any, None]]


@pytest.fixture(params=["memory", "kafka"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Runs a scenario in an event loop."""
    brokers = request.getfixturevalue("server") if request.param == "kafka" else None

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            log: Kafka = KafkaInMemory() if brokers is None else RealKafka(brokers, tmp_path)
            try:
                await scenario(log)
            finally:
                await log.close()

        asyncio.run(main())

    return run


@pytest.fixture
def topic() -> str:
    return f"topic-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


def size(batch: Batch) -> int:
    return sum(map(len, batch.records.values()))


def records_of(taken: Sequence[Batch], topic: str, partition: int) -> list[Any]:
    return [record for batch in taken for record in batch.of(topic).get(partition, ())]


class Listener:
    """Remembers what it hears, and begins where it is told."""

    def __init__(self, begin_at: Mapping[TP, int] | None = None) -> None:
        self.logs: dict[TP, tuple[int, int]] = {}
        self.to_acknowledge: list[Batch] = []
        """Batches that it acknowledges when partitions go."""
        self._begin_at = begin_at or {}

    async def assigned(self, partitions: Mapping[TP, tuple[int, int]]) -> Mapping[TP, int]:
        self.logs.update(partitions)
        return self._begin_at

    async def revoked(self, partitions: frozenset[TP]) -> None:
        for batch in self.to_acknowledge:
            batch.ack()


# -- the contract


def test_each_partition_keeps_its_order_and_numbers_its_records(run: Any, topic: str, group: str) -> None:
    async def scenario(log: Kafka) -> None:
        await log.create([topic])
        sends = [{p: [(b"%d" % p, b"%d-%d" % (turn, i)) for i in range(5 + p)] for p in (0, 1)} for turn in range(3)]
        for sent in sends:
            await log.send({(topic, partition): found for partition, found in sent.items()})
        async with log.member(group, [topic]) as member:
            taken = await member.take(3 * (5 + 6))
        for partition in (0, 1):
            records = records_of(taken, topic, partition)
            assert [record.offset for record in records] == list(range(len(records)))
            assert [(record.key, record.value) for record in records] == [
                message for sent in sends for message in sent[partition]
            ]

    run(scenario)


def test_keys_values_and_headers_arrive_as_they_were_sent(run: Any, topic: str, group: str) -> None:
    """No key is not an empty key, and a tombstone (no value) is not an empty value."""
    sent: list[Message] = [
        (b"key", b"value"),
        (None, b"value"),
        (b"", b"value"),
        (b"key", None),
        (b"key", b""),
        (b"key", b"value", [("a", b"1"), ("a", b"2"), ("b", b"")]),
        (b"key", None, [("offset", b"7")]),
    ]
    common = [("traceparent", b"00-1")]

    async def scenario(log: Kafka) -> None:
        await log.create([topic])
        await log.send({(topic, 0): sent})
        await log.send({(topic, 0): sent}, common)
        async with log.member(group, [topic]) as member:
            records = records_of(await member.take(2 * len(sent)), topic, 0)
        assert [(record.key, record.value) for record in records] == [message[:2] for message in sent * 2]
        own = [list(message[2]) if len(message) == 3 else [] for message in sent]
        assert [list(record.headers) for record in records] == [*own, *([*each, *common] for each in own)]

    run(scenario)


def test_nothing_to_send_is_sent_at_once(run: Any, topic: str, group: str) -> None:
    async def scenario(log: Kafka) -> None:
        await log.create([topic])
        await log.send({})
        await log.send({(topic, 0): [], (topic, 1): [(None, b"only")]})
        async with log.member(group, [topic]) as member:
            (batch,) = await member.take(1)
        assert [(tp, [record.value for record in found]) for tp, found in batch.records.items()] == [
            (TP(topic, 1), [b"only"])
        ]

    run(scenario)


def test_a_member_reads_all_of_its_topics(run: Any, topic: str, group: str) -> None:
    topics = [topic, f"{topic}-b"]

    async def scenario(log: Kafka) -> None:
        await log.create(topics)
        await log.send({(name, partition): [(None, name.encode())] for name in topics for partition in (0, 1)})
        async with log.member(group, topics) as member:
            taken = await member.take(4)
        for name in topics:
            for partition in (0, 1):
                assert [record.value for record in records_of(taken, name, partition)] == [name.encode()]

    run(scenario)


def test_the_listener_hears_where_logs_begin_and_end_and_says_where_to_begin(run: Any, topic: str, group: str) -> None:
    async def scenario(log: Kafka) -> None:
        await log.create([topic])
        await log.send({(topic, partition): [(None, b"%d" % i) for i in range(5)] for partition in (0, 1)})
        listener = Listener({TP(topic, 0): 3})
        async with log.member(group, [topic], listener) as member:
            taken = await member.take(2 + 5)
        assert listener.logs == {TP(topic, 0): (0, 5), TP(topic, 1): (0, 5)}
        assert [record.offset for record in records_of(taken, topic, 0)] == [3, 4]
        assert [record.offset for record in records_of(taken, topic, 1)] == [0, 1, 2, 3, 4]

    run(scenario)


def test_what_is_acknowledged_does_not_come_again_and_all_else_does(run: Any, topic: str, group: str) -> None:
    async def scenario(log: Kafka) -> None:
        await log.create([topic])
        await log.send({(topic, 0): [(None, b"0")], (topic, 1): [(None, b"0")]})
        async with log.member(group, [topic]) as member:
            for batch in await member.take(2):
                batch.ack()
            await log.send({(topic, 0): [(None, b"1")]})
            await member.take(1)
        async with log.member(group, [topic]) as member:
            taken = await member.take(1)
        assert [[record.value for record in records_of(taken, topic, partition)] for partition in (0, 1)] == [
            [b"1"],
            [],
        ]

    run(scenario)


def test_an_acknowledgement_counts_when_all_before_it_is_acknowledged(run: Any, topic: str, group: str) -> None:
    async def scenario(log: Kafka) -> None:
        await log.create([topic])
        async with log.member(group, [topic]) as member:
            for i in range(3):
                await log.send({(topic, 0): [(None, b"%d" % i)]})
                (batch,) = await member.take(1)
                if i != 1:
                    batch.ack()
        async with log.member(group, [topic]) as member:
            taken = await member.take(2)
        assert [record.value for record in records_of(taken, topic, 0)] == [b"1", b"2"]

    run(scenario)


def test_what_the_listener_acknowledges_when_partitions_go_counts(run: Any, topic: str, group: str) -> None:
    """As the aggregation does, whose batches wait for its state."""

    async def scenario(log: Kafka) -> None:
        await log.create([topic])
        await log.send({(topic, 0): [(None, b"0")]})
        listener = Listener()
        async with log.member(group, [topic], listener) as member:
            listener.to_acknowledge = await member.take(1)
        await log.send({(topic, 0): [(None, b"1")]})
        async with log.member(group, [topic]) as member:
            taken = await member.take(1)
        assert [record.value for record in records_of(taken, topic, 0)] == [b"1"]

    run(scenario)


def test_a_position_of_the_listener_goes_before_a_committed_offset(run: Any, topic: str, group: str) -> None:
    """As the loader does: Kafka's offset is only a hint, the fence in the database counts."""

    async def scenario(log: Kafka) -> None:
        await log.create([topic])
        await log.send({(topic, 0): [(None, b"%d" % i) for i in range(4)]})
        async with log.member(group, [topic]) as member:
            for batch in await member.take(4):
                batch.ack()
        async with log.member(group, [topic], Listener({TP(topic, 0): 2})) as member:
            taken = await member.take(2)
        assert [record.offset for record in records_of(taken, topic, 0)] == [2, 3]

    run(scenario)
