"""What stages expect of Kafka: of the real one, through our producer and consumer, and of the one in memory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from backend_demo.adapters.kafka import Brokers
from backend_demo.faust_batch.batch import Batch
from backend_demo.faust_batch.producer import Message
from backend_demo.settings import Settings
from backend_demo.stack.open import open_stack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN
from tests.support.kafka import brokers as brokers_of
from tests.support.logs import Kafka, KafkaInMemory, Listener, RealKafka


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


def records_of(taken: Sequence[Batch], topic: str, partition: int) -> list[Any]:
    return [record for batch in taken for record in batch.of(topic).get(partition, ())]


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
        assert {tp: (log.begin, log.end) for tp, log in listener.logs.items()} == {
            TP(topic, 0): (0, 5),
            TP(topic, 1): (0, 5),
        }
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


def test_a_topic_that_is_created_again_is_read_from_its_beginning(run: Any, topic: str, group: str) -> None:
    """It is longer than the committed offset of the old one, and the listener hears that it is another one."""
    first, second = Listener(), Listener()

    async def scenario(log: Kafka) -> None:
        await log.create([topic])
        await log.send({(topic, 0): [(None, b"old-%d" % i) for i in range(3)]})
        async with log.member(group, [topic], first) as member:
            for batch in await member.take(3):
                batch.ack()
        async with log.member(group, [topic], first) as member:
            assert first.logs[TP(topic, 0)].committed == 3
        await log.create_again(topic)
        await log.send({(topic, 0): [(None, b"new-%d" % i) for i in range(5)]})
        async with log.member(group, [topic], second) as member:
            taken = await member.take(5)
        assert [record.value for record in records_of(taken, topic, 0)] == [b"new-%d" % i for i in range(5)]
        assert second.logs[TP(topic, 0)].committed is None
        assert first.logs[TP(topic, 0)].topic_id != second.logs[TP(topic, 0)].topic_id != ""

    run(scenario)
