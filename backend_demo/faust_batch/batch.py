"""What an agent gets, a `Batch` at a time; and who is told when partitions come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import faust
from faust.types import TP

from backend_demo.faust_batch.offsets import Delivery

if TYPE_CHECKING:
    from backend_demo.faust_batch.transport import Consumer


class Record(Protocol):
    """A Kafka record, as aiokafka hands it out."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...  # epoch milliseconds


class PartitionListener(Protocol):
    """Is told when partitions come and go; what it awaits holds the rebalance up."""

    async def assigned(self, partitions: Mapping[TP, tuple[int, int]]) -> Mapping[TP, int]:
        """Before the first record is fetched: where the log of each partition begins, and its end (exclusive).

        Returns the offsets at which to begin, where that is not the committed one.
        """

    async def revoked(self, partitions: frozenset[TP]) -> None:
        """No batch is in work any more; what is acknowledged in here is still committed."""


class Batch:
    """The records of one poll, by partition and in the order of their offsets."""

    __slots__ = ("_consumer", "_delivery", "records")

    def __init__(self, records: Mapping[TP, Sequence[Record]], delivery: Delivery[TP], consumer: Consumer) -> None:
        self.records = records
        self._delivery = delivery
        self._consumer = consumer

    def of(self, topic: str) -> dict[int, Sequence[Record]]:
        """The records of one topic, by partition number."""
        return {tp.partition: found for tp, found in self.records.items() if tp.topic == topic}

    def ack(self) -> None:
        """Everything that follows from this batch is durable: its offsets may be committed."""
        self._consumer.offsets.acknowledge(self._delivery)

    def in_work(self) -> AbstractContextManager[None]:
        """While an agent handles it."""
        return self._consumer.in_work()

    @property
    def stale(self) -> bool:
        """Whether partitions have moved since: these records will be delivered again, here or elsewhere."""
        return self._delivery.epoch != self._consumer.offsets.epoch


async def batches(stream: Any) -> AsyncIterator[Batch]:
    """The batches of an agent's stream. A batch counts as handled when the next one is asked for."""
    async for event in stream.noack().events():
        batch: Batch = event.value
        if not batch.stale:
            with batch.in_work():
                yield batch


class BatchSchema(faust.Schema):  # type: ignore[misc]
    """Leaves a message as it is: its value is a Batch."""

    def loads_key(self, app: Any, message: Any, **options: Any) -> Any:
        return None

    def loads_value(self, app: Any, message: Any, **options: Any) -> Any:
        return message.value
