"""A producer of whole batches: `send` returns when Kafka has acknowledged every record, however long it takes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.partitioner import murmur2

from backend_demo.faust_batch.topic_ids import ask_topic_ids

log = structlog.get_logger(__name__)

Headers = Sequence[tuple[str, bytes]]
Message = tuple[bytes | None, bytes | None] | tuple[bytes | None, bytes | None, Headers]
"""Key, value and optional headers."""

#: Largest batch, bytes: below the broker's default limit of 1,048,588, with room for the batch's header.
BATCH_BYTES = 1_000_000

#: Greatest age of a client's metadata, milliseconds. aiokafka asks the brokers that it knows and never the bootstrap
#: servers again: after asking during an outage it may know a single broker, which may be the next to fail.
METADATA_MAX_AGE_MS = 10_000


class BatchProducer:
    """Sends batches to partitions, idempotently and with acks=all.

    aiokafka takes a sequence number when it first sends a batch and does not give it back, so after one failed batch
    every later one to that partition fails (aiokafka issue 1017). So on any failure the producer is replaced, and what
    was not acknowledged is sent again. A consumer may see a record twice, but never misses one.
    """

    def __init__(
        self, bootstrap_servers: str, *, client_id: str, request_timeout_s: float = 15.0, **security: Any
    ) -> None:
        """`security`: aiokafka's own options for TLS and SASL."""
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap_servers.split(","),
            "client_id": client_id,
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": 0,
            "max_batch_size": BATCH_BYTES,
            "request_timeout_ms": int(request_timeout_s * 1000),
            "metadata_max_age_ms": METADATA_MAX_AGE_MS,
            **security,
        }
        self._producer: AIOKafkaProducer | None = None
        self._replacing = asyncio.Lock()

    async def start(self) -> None:
        """Connects; retries until Kafka answers."""
        await self._connected()

    async def stop(self) -> None:
        """Closes the connection; gives up on batches under way after three seconds."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _close(producer)

    async def partitions(self, topic: str) -> int:
        """The number of a topic's partitions; 0 when the topic does not exist. Raises KafkaError."""
        producer = await self._connected()
        metadata = await producer.client.fetch_all_metadata()
        return len(metadata.partitions_for_topic(topic) or ())

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Kafka's ids of those of these topics that exist; nothing where Kafka has no ids. Raises KafkaError."""
        producer = await self._connected()
        return await ask_topic_ids(producer.client, topics) or {}

    async def send(self, messages: Mapping[tuple[str, int], Sequence[Message]], headers: Headers = ()) -> None:
        """Returns when all records, given by (topic, partition), are acknowledged; retries for as long as it takes.

        A record that is sent again keeps its timestamp, from which a reading may have its time. `headers`: added to
        every record's own. Raises ValueError for a record that is too large for a batch.
        """
        todo = dict(messages)
        now_ms = int(time.time() * 1000)
        attempt = 0
        while todo := {target: found for target, found in todo.items() if found}:
            producer = await self._connected()
            try:
                todo = await self._send_once(producer, todo, headers, now_ms)
            except KafkaError as problem:
                log.warning("send failed", problem=type(problem).__name__, detail=str(problem)[:200])
            if any(todo.values()):
                attempt += 1
                await self._replace(producer)
                jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
                await asyncio.sleep(min(2.0, 0.05 * 2 ** min(attempt, 6)) * jitter)

    async def _send_once(
        self,
        producer: AIOKafkaProducer,
        todo: Mapping[tuple[str, int], Sequence[Message]],
        headers: Headers,
        now_ms: int,
    ) -> dict[tuple[str, int], Sequence[Message]]:
        """Makes one attempt; returns each partition's records from its first failed batch on, so that order is kept."""
        sent: list[tuple[tuple[str, int], int, asyncio.Future[Any]]] = []
        left: dict[tuple[str, int], Sequence[Message]] = {}
        try:
            for target, messages in todo.items():
                begin = 0
                while begin < len(messages):
                    builder, end = _fill(producer, messages, begin, headers, now_ms)
                    future = await producer.send_batch(builder, target[0], partition=target[1])
                    sent.append((target, begin, future))
                    begin = end
        finally:
            results = await asyncio.gather(*(future for _, _, future in sent), return_exceptions=True)
        for (target, begin, _), result in zip(sent, results, strict=True):
            if isinstance(result, MessageSizeTooLargeError):
                raise ValueError(f"Kafka refuses the size of a batch for {target[0]}") from result
            if isinstance(result, BaseException):
                log.warning("batch failed", topic=target[0], partition=target[1], problem=type(result).__name__)
                left.setdefault(target, todo[target][begin:])
        return left

    async def _connected(self) -> AIOKafkaProducer:
        attempt = 0
        while self._producer is None:
            async with self._replacing:
                if self._producer is not None:
                    break
                producer = AIOKafkaProducer(**self._options)
                try:
                    await producer.start()
                except KafkaError as problem:
                    await _close(producer)
                    attempt += 1
                    if attempt == 1:
                        log.info("waiting for Kafka", problem=str(problem)[:200])
                else:
                    self._producer = producer
                    break
            await asyncio.sleep(min(1.0, 0.1 * 2 ** min(attempt, 6)))
        return self._producer

    async def _replace(self, failed: AIOKafkaProducer) -> None:
        async with self._replacing:
            if self._producer is failed:
                self._producer = None
                await _close(failed)


def _fill(
    producer: AIOKafkaProducer, messages: Sequence[Message], begin: int, headers: Headers, now_ms: int
) -> tuple[Any, int]:
    """Fills a batch with messages from `begin` on; returns it and the index at which the next batch begins."""
    builder = producer.create_batch()
    append = builder._builder.append  # BatchBuilder.append, a wrapper around this one, costs more
    common = list(headers)
    count = 0
    for message in messages[begin:] if begin else messages:
        every = [*message[2], *common] if len(message) == 3 else common
        if append(count, now_ms, message[0], message[1], every) is None:
            break
        count += 1
    if not count:
        raise ValueError("a record is larger than a batch")
    builder._relative_offset = count
    builder.close()
    return builder, begin + count


async def _close(producer: AIOKafkaProducer) -> None:
    try:
        await asyncio.wait_for(producer.stop(), 3.0)
    except (KafkaError, TimeoutError) as problem:
        log.info("producer closed by force", problem=type(problem).__name__)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's Java clients choose for a key (murmur2, as in their DefaultPartitioner)."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
