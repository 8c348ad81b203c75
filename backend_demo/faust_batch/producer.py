"""A producer of whole batches: `send` returns when Kafka has acknowledged every record, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.partitioner import murmur2

log = structlog.get_logger(__name__)

Headers = Sequence[tuple[str, bytes]]
Message = tuple[bytes | None, bytes | None] | tuple[bytes | None, bytes | None, Headers]
"""Key, value and, where there are any, headers."""

#: Below the broker's default of 1,048,588 bytes a batch, with room for the batch's header.
BATCH_BYTES = 1_000_000

#: How old what a client knows of the brokers may be. aiokafka asks those that it knows, never those of the bootstrap
#: again: when it last asked in the midst of an outage it may know a single one, which may be the next to go.
METADATA_MAX_AGE_MS = 10_000


class BatchProducer:
    """Sends batches to partitions, idempotently and with acks=all.

    aiokafka takes a sequence number when a batch is first sent and does not give it back, so after one failed batch
    every later one to that partition fails (issue 1017 there): on any failure the producer is replaced by a new one,
    and what was not acknowledged is sent again. A consumer may therefore see a record twice, never miss one.
    """

    def __init__(self, bootstrap: str, *, client_id: str, request_timeout_s: float = 15.0) -> None:
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap.split(","),
            "client_id": client_id,
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": 0,
            "max_batch_size": BATCH_BYTES,
            "request_timeout_ms": int(request_timeout_s * 1000),
            "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        }
        self._producer: AIOKafkaProducer | None = None
        self._replacing = asyncio.Lock()

    async def start(self) -> None:
        """Connects; tries again until Kafka answers."""
        await self._connected()

    async def stop(self) -> None:
        """Closes the connection; what is under way is given up after some seconds."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _close(producer)

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has; 0 when there is no such topic. Raises KafkaError."""
        producer = await self._connected()
        metadata = await producer.client.fetch_all_metadata()
        return len(metadata.partitions_for_topic(topic) or ())

    async def send(self, messages: Mapping[tuple[str, int], Sequence[Message]], headers: Headers = ()) -> None:
        """Returns when all records, by (topic, partition), are acknowledged; tries for as long as it takes.

        `headers`: of all of them, beside their own. Raises ValueError for a record that no batch can hold.
        """
        todo = dict(messages)
        attempt = 0
        while todo := {target: found for target, found in todo.items() if found}:
            producer = await self._connected()
            try:
                todo = await self._send_once(producer, todo, headers)
            except KafkaError as problem:
                log.warning("send failed", problem=type(problem).__name__, detail=str(problem)[:200])
            if any(todo.values()):
                attempt += 1
                await self._replace(producer)
                await asyncio.sleep(min(2.0, 0.05 * 2 ** min(attempt, 6)) * random.uniform(0.5, 1.0))

    async def _send_once(
        self, producer: AIOKafkaProducer, todo: Mapping[tuple[str, int], Sequence[Message]], headers: Headers
    ) -> dict[tuple[str, int], Sequence[Message]]:
        """One attempt; what is left of each partition from its first failed batch on, so that order is kept."""
        sent: list[tuple[tuple[str, int], int, asyncio.Future[Any]]] = []
        left: dict[tuple[str, int], Sequence[Message]] = {}
        try:
            for target, messages in todo.items():
                begin = 0
                while begin < len(messages):
                    builder, end = _fill(producer, messages, begin, headers)
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
                        log.info("waits for Kafka", problem=str(problem)[:200])
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


def _fill(producer: AIOKafkaProducer, messages: Sequence[Message], begin: int, headers: Headers) -> tuple[Any, int]:
    """A batch with as many messages as it holds, from `begin` on, and where the next one begins."""
    builder = producer.create_batch()
    append = builder._builder.append  # the batch's own append costs more than this one, around which it is wrapped
    now_ms = int(time.time() * 1000)
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
        log.info("producer closed hard", problem=type(problem).__name__)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's own clients choose for a key (murmur2, as in Kafka's DefaultPartitioner)."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
