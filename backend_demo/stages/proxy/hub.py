"""Shows subscribers what arrives in `sensor-data`, whichever copy of the proxy has taken it: one reader per process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from backend_demo.adapters import kafka
from backend_demo.adapters.backoff import Backoff
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.topics import PARTITIONS, SENSOR_DATA
from backend_demo.mqtt.codec.packets import Properties
from backend_demo.mqtt.filters import FilterIndex
from backend_demo.mqtt.record_headers import PUBLISHER, publish_properties
from backend_demo.stages.proxy.bounds import TOPICS

log = structlog.get_logger(__name__)

#: Poll timeout, milliseconds; most records of one poll, so that publishers are served in between.
POLL_MS = 500
RECORDS = 500

BACKOFF = Backoff(first_s=0.2, longest_s=2.0)


class Subscribed(Protocol):
    """Who gets messages."""

    def show(self, topic: bytes, payload: bytes, qos: int, properties: Properties, identifiers: Sequence[int]) -> None:
        """Sends a message, or gives the client up; never waits for it."""


class Terms(NamedTuple):
    """What a subscription asks for."""

    qos: int
    identifier: int | None
    """Of the subscription."""
    not_from: bytes
    """The mark of messages that are not shown: the subscriber's own. Empty: all are."""


Recipient = tuple[Subscribed, int, tuple[int, ...]]
"""Who gets a message, with its QoS and the identifiers of its subscriptions."""


class Hub:
    """The subscriptions of all connections, and the reader that serves them while there are any."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._index: FilterIndex[tuple[Subscribed, Terms]] = FilterIndex()
        self._count = 0
        self._deliveries: dict[bytes, list[Recipient]] = {}
        """By topic, until a subscription comes or goes."""
        self._wanted = asyncio.Event()
        self._reads = asyncio.Event()

    def subscribe(self, reader: Subscribed, topic_filter: str, terms: Terms) -> None:
        """Adds a subscription. What arrives after `reads` has returned is shown."""
        self._index.add(topic_filter, (reader, terms))
        self._count += 1
        self._deliveries.clear()
        self._wanted.set()

    def unsubscribe(self, reader: Subscribed, topic_filter: str, terms: Terms) -> None:
        """Removes a subscription."""
        self._index.remove(topic_filter, (reader, terms))
        self._count -= 1
        self._deliveries.clear()
        if not self._count:
            self._wanted.clear()

    async def reads(self) -> None:
        """Waits until the reader is at the end of the topic."""
        await self._reads.wait()

    async def run(self) -> None:
        """Reads for ever, while there are subscriptions."""
        failures = 0
        while True:
            await self._wanted.wait()
            consumer = kafka.reader(self._brokers, "bdemo-mqtt")
            try:
                await consumer.start()
                await self._seek_to_end(consumer)
                failures = 0
                self._reads.set()
                while self._wanted.is_set():
                    self._show(await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS))
                    await asyncio.sleep(0)
            except (KafkaError, OSError) as problem:
                failures += 1
                log.warning("subscribers wait for Kafka", problem=type(problem).__name__)
                await asyncio.sleep(BACKOFF.delay_s(failures))
            finally:
                self._reads.clear()
                await consumer.stop()

    async def _seek_to_end(self, consumer: AIOKafkaConsumer) -> None:
        partitions = [TopicPartition(SENSOR_DATA, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        for tp, end in (await consumer.end_offsets(partitions)).items():
            consumer.seek(tp, end)

    def _show(self, found: dict[TopicPartition, list[Any]]) -> None:
        for records in found.values():
            for record in records:
                if record.key is None or record.value is None:
                    continue
                deliveries = self._deliveries.get(record.key)
                if deliveries is None:
                    deliveries = self._find(record.key)
                    if len(self._deliveries) >= TOPICS:
                        self._deliveries.clear()
                    self._deliveries[record.key] = deliveries
                if deliveries and (mark := _mark(record.headers)):
                    deliveries = self._find(record.key, mark)
                if deliveries:
                    properties = publish_properties(record.headers) if record.headers else {}
                    for reader, qos, identifiers in deliveries:
                        reader.show(record.key, record.value, qos, properties, identifiers)

    def _find(self, topic: bytes, mark: bytes = b"") -> list[Recipient]:
        """Who gets a message with that mark: each once, with the highest QoS of its subscriptions."""
        merged: dict[Subscribed, tuple[int, list[int]]] = {}
        for reader, (qos, identifier, not_from) in self._index.find(topic.decode(errors="replace")):
            if mark and mark == not_from:
                continue
            highest, identifiers = merged.get(reader, (0, []))
            if identifier is not None:
                identifiers.append(identifier)
            merged[reader] = max(highest, qos), identifiers
        return [(reader, qos, tuple(identifiers)) for reader, (qos, identifiers) in merged.items()]


def _mark(headers: Sequence[tuple[str, bytes]]) -> bytes:
    """The mark of a message's publisher; empty: it has none."""
    return next((value for name, value in headers if name == PUBLISHER), b"")
