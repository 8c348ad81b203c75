"""Kafka's log without a consumer group: reads partitions from given offsets and continues there after an outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError

from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers
from backend_demo.adapters.kafka_refusal import unreachable
from backend_demo.domain.topics import Partition
from backend_demo.errors import ServiceFailed
from backend_demo.operations.kafka_record import KafkaRecord

CLIENT_ID = "bdemo-tail"
#: A call to Kafka that takes longer has failed.
CALL_S = 5.0
#: aiokafka's own limit for a request; a call of ours is over before.
REQUEST_TIMEOUT_S = 2 * CALL_S
#: How long one poll waits for records.
POLL_S = 1.0
#: Most records that one poll returns; the rest of what was fetched stays undecoded in the client.
POLL_RECORDS = 1000
RETRY_S = 1.0

#: Notices of a KafkaLog.
AWAY, BACK = "waiting for Kafka", "Kafka is back"


async def partitions_of(brokers: Brokers) -> dict[str, list[Partition]]:
    """Every topic with its partitions. Raises ServiceFailed."""
    return (await cluster_of(brokers))[1]


async def cluster_of(brokers: Brokers) -> tuple[str, dict[str, list[Partition]]]:
    """The id of the Kafka cluster, and every topic with its partitions. Raises ServiceFailed."""
    try:
        async with kafka.admin(brokers, CLIENT_ID, limit_s=CALL_S, request_timeout_s=REQUEST_TIMEOUT_S) as admin:
            cluster = await admin.describe_cluster()
            described = await admin.describe_topics()
    except (KafkaError, OSError) as problem:
        raise await unreachable(brokers) from problem
    return str(cluster["cluster_id"]), {
        topic["topic"]: sorted(TopicPartition(topic["topic"], entry["partition"]) for entry in topic["partitions"])
        for topic in described
    }


class KafkaLog:
    """Some partitions, read by a consumer that joins no group, and how far each has been read."""

    def __init__(
        self,
        brokers: Brokers,
        partitions: Sequence[Partition],
        *,
        patience_s: float | None,
        notify: Callable[[str], None],
    ) -> None:
        """`patience_s`: how long Kafka may be away before that is a ServiceFailed; None: for ever."""
        self._brokers = brokers
        self._partitions = [TopicPartition(*partition) for partition in partitions]
        self._patience_s = patience_s
        self._notify = notify
        self._consumer: Any = None
        self._silent_polls = 0
        self._sought = False
        self.positions: dict[Partition, int] = dict.fromkeys(self._partitions, 0)
        """The next offset of each partition."""

    async def __aenter__(self) -> Self:
        try:
            await self._connect()
        except (KafkaError, OSError) as problem:
            raise await unreachable(self._brokers) from problem
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._disconnect()

    async def ends(self) -> dict[Partition, int]:
        """The offset after the newest record of each partition."""
        ends: dict[Partition, int] = await self._ask(lambda consumer: consumer.end_offsets(self._partitions))
        return ends

    async def starts(self, timestamp: float) -> dict[Partition, int]:
        """The offset of the first record at or after this time (epoch seconds; 0: of the oldest) in each partition."""
        if timestamp <= 0:
            begins: dict[Partition, int] = await self._ask(
                lambda consumer: consumer.beginning_offsets(self._partitions)
            )
            return begins
        milliseconds = dict.fromkeys(self._partitions, round(timestamp * 1000))
        found = await self._ask(lambda consumer: consumer.offsets_for_times(dict(milliseconds)))
        ends = await self.ends()
        return {partition: ends[partition] if at is None else at.offset for partition, at in found.items()}

    async def read(
        self, starts: Mapping[Partition, int], ends: Mapping[Partition, int]
    ) -> AsyncGenerator[dict[Partition, list[KafkaRecord]], None]:
        """Yields what lies between these offsets, one poll at a time (it may be empty); `positions` end there."""
        self.seek(starts)
        while behind := [partition for partition, end in ends.items() if self.positions[partition] < end]:
            found = await self.poll(behind)
            self.positions.update({partition: min(self.positions[partition], ends[partition]) for partition in behind})
            yield {
                partition: [record for record in records if record.offset < ends[partition]]
                for partition, records in found.items()
            }

    def seek(self, positions: Mapping[Partition, int]) -> None:
        """Moves to these offsets and starts fetching from there."""
        self._sought = True
        self.positions.update(positions)
        for partition, offset in positions.items():
            self._consumer.seek(TopicPartition(*partition), offset)
        self._consumer.resume(*map(TopicPartition._make, positions))

    def rest(self) -> None:
        """Stops fetching until the next `seek`: else a question waits up to 0.5 s behind a fetch that finds nothing."""
        self._consumer.pause(*self._partitions)

    async def poll(
        self, partitions: Collection[Partition] = (), *, wait_s: float = POLL_S
    ) -> dict[Partition, list[KafkaRecord]]:
        """The next records of these partitions (none named: of all), oldest first; nothing when none come in time.

        While Kafka is away, it notifies and waits. Raises ServiceFailed when that takes too long or data is unreadable.
        """
        asked = [TopicPartition(*partition) for partition in partitions] or self._partitions
        try:
            async with asyncio.timeout(CALL_S):
                found = await self._consumer.getmany(*asked, timeout_ms=round(wait_s * 1000), max_records=POLL_RECORDS)
                # where records were compacted away, a position moves without a record
                for partition in found or asked:
                    self.positions[partition] = await self._consumer.position(partition)
            if found:
                self._silent_polls = 0
            elif wait_s >= POLL_S:
                await self._look_after_silence(asked)
        except (KafkaError, OSError) as problem:
            await self._wait_for_kafka(problem)
            return {}
        return {partition: [_record(record) for record in records] for partition, records in found.items()}

    async def _look_after_silence(self, asked: Sequence[TopicPartition]) -> None:
        """Tells silence from an outage: raises when Kafka does not answer, or has records that do not arrive."""
        async with asyncio.timeout(CALL_S):
            ends = await self._consumer.end_offsets(asked)
        behind = any(self.positions[partition] < end for partition, end in ends.items())
        self._silent_polls = self._silent_polls + 1 if behind else 0
        if self._silent_polls > CALL_S / POLL_S:
            # aiokafka recovers from most outages by itself, but not from all (its issues 551 and 703)
            await self._disconnect()
            raise KafkaTimeoutError("there are records, and they do not arrive")

    async def _ask(self, question: Callable[[Any], Awaitable[Any]]) -> Any:
        while True:
            try:
                async with asyncio.timeout(CALL_S):
                    return await question(self._consumer)
            except (KafkaError, OSError) as problem:
                await self._wait_for_kafka(problem)

    async def _wait_for_kafka(self, problem: KafkaError | OSError) -> None:
        """Returns when Kafka answers again. Raises ServiceFailed when it is not away at all, or for too long."""
        if isinstance(problem, KafkaError) and not (problem.retriable or isinstance(problem, KafkaTimeoutError)):
            raise ServiceFailed(
                f"Kafka's records cannot be read: {type(problem).__name__}: {problem}",
                hint="leave that topic out, or see: bdemo logs kafka",
            ) from problem
        self._notify(AWAY)
        began = time.monotonic()
        while True:
            try:
                if self._consumer is None:
                    await self._connect()
                async with asyncio.timeout(CALL_S):
                    await self._consumer.end_offsets(self._partitions)
            except (KafkaError, OSError) as again:
                if self._patience_s is not None and time.monotonic() - began > self._patience_s:
                    raise await unreachable(self._brokers) from again
                await asyncio.sleep(RETRY_S)
            else:
                break
        self._silent_polls = 0
        self._notify(BACK)

    async def _connect(self) -> None:
        consumer = kafka.reader(self._brokers, CLIENT_ID, request_timeout_s=REQUEST_TIMEOUT_S)
        try:
            async with asyncio.timeout(CALL_S):
                await consumer.start()
                consumer.assign(self._partitions)
                consumer.pause(*self._partitions)  # where to read is not known yet
                await consumer.end_offsets(self._partitions)  # a broker that listens may still have no leaders
        except BaseException:
            await _stop(consumer)
            raise
        self._consumer = consumer
        if self._sought:
            self.seek(self.positions)

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _stop(consumer)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    # a task of its own: while Kafka is away, stop() ends in the CancelledError of one of the consumer's inner tasks,
    # which must not pass for the cancellation of the caller
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([stopping], timeout=CALL_S)
    if stopping.done() and not stopping.cancelled():
        stopping.exception()  # retrieved, so that asyncio does not report that nobody did


def _record(record: Any) -> KafkaRecord:
    return KafkaRecord(
        record.topic,
        record.partition,
        record.offset,
        None if record.timestamp is None or record.timestamp < 0 else record.timestamp / 1000,
        record.key,
        record.value,
        tuple(record.headers),
    )
