"""A `Batch`, the unit that an agent handles, and the listener that hears when partitions come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import faust
from faust.types import TP

from backend_demo.faust_batch.offsets import Delivery
from backend_demo.kafka_record import LogRange, Record

if TYPE_CHECKING:
    from backend_demo.faust_batch.transport import Consumer


class PartitionListener(Protocol):
    """Hears when partitions come and go. A rebalance waits until its methods return."""

    async def assigned(self, partitions: Mapping[TP, LogRange]) -> Mapping[TP, int]:
        """Called before the first record is fetched, with each partition's log.

        Returns the offsets at which to begin, where they differ from the committed ones.
        """

    async def revoked(self, partitions: frozenset[TP]) -> None:
        """Called when no batch is in work any more. What is acknowledged here is still committed."""


class Batch:
    """The records of one poll, by partition, in the order of their offsets."""

    __slots__ = ("_consumer", "_delivery", "records")

    def __init__(self, records: Mapping[TP, Sequence[Record]], delivery: Delivery[TP], consumer: Consumer) -> None:
        self.records = records
        self._delivery = delivery
        self._consumer = consumer

    def of(self, topic: str) -> dict[int, Sequence[Record]]:
        """The records of one topic, by partition number."""
        return {tp.partition: found for tp, found in self.records.items() if tp.topic == topic}

    def ack(self) -> None:
        """Acknowledges the batch: its outcome is durable, so its offsets may be committed."""
        self._consumer.offsets.acknowledge(self._delivery)

    def in_work(self) -> AbstractContextManager[None]:
        """A context for the time in which an agent handles the batch."""
        return self._consumer.in_work()

    @property
    def stale(self) -> bool:
        """Whether partitions have moved since: these records will be delivered again, here or to another member."""
        return self._delivery.epoch != self._consumer.offsets.epoch


async def batches(stream: Any) -> AsyncIterator[Batch]:
    """Iterates over the batches of an agent's stream. Asking for the next batch says that this one is handled."""
    async for event in stream.noack().events():
        batch: Batch = event.value
        if not batch.stale:
            with batch.in_work():
                yield batch


class BatchSchema(faust.Schema):  # type: ignore[misc]
    """Decodes nothing: the value of a message is a Batch."""

    def loads_key(self, app: Any, message: Any, **options: Any) -> Any:
        return None

    def loads_value(self, app: Any, message: Any, **options: Any) -> Any:
        return message.value
