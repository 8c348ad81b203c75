"""Decides which offsets may be committed: per partition, the longest acknowledged prefix of the deliveries. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

P = TypeVar("P")
"""A partition: anything hashable."""


@dataclass(slots=True, eq=False)
class Delivery(Generic[P]):
    """A delivered batch: its epoch, and where it ends in each partition."""

    epoch: int
    ends: Mapping[P, int]
    """The offset after the batch's last record, by partition."""
    acknowledged: bool = field(default=False, init=False)


class OffsetTracker(Generic[P]):
    """Tracks deliveries and acknowledgements. An epoch ends when partitions move or positions are changed by a seek.

    Records of an earlier epoch will be delivered again (here or to another consumer), so acknowledging them has no
    effect.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.acknowledged = 0
        """Batches acknowledged so far."""
        self._pending: dict[P, deque[Delivery[P]]] = {}
        self._prefix: dict[P, int] = {}
        self._confirmed: dict[P, int] = {}

    def reset(self) -> None:
        """Begins a new epoch and forgets everything under way."""
        self.epoch += 1
        self._pending.clear()
        self._prefix.clear()
        self._confirmed.clear()

    def deliver(self, ends: Mapping[P, int]) -> Delivery[P]:
        """Notes that the records up to `ends` (exclusive) were delivered as one batch."""
        delivery = Delivery(self.epoch, ends)
        for partition in ends:
            self._pending.setdefault(partition, deque()).append(delivery)
        return delivery

    def acknowledge(self, delivery: Delivery[P]) -> bool:
        """Marks a batch as done. Returns False when it is from an earlier epoch and will be delivered again."""
        if delivery.epoch != self.epoch:
            return False
        delivery.acknowledged = True
        self.acknowledged += 1
        for partition in delivery.ends:
            pending = self._pending[partition]
            while pending and pending[0].acknowledged:
                self._prefix[partition] = pending.popleft().ends[partition]
        return True

    @property
    def under_way(self) -> bool:
        """Whether a delivered batch is not acknowledged yet."""
        return any(self._pending.values())

    def committable(self) -> dict[P, int]:
        """The offsets that may be committed and are not confirmed by Kafka yet."""
        return {
            partition: offset for partition, offset in self._prefix.items() if self._confirmed.get(partition) != offset
        }

    def confirm(self, offsets: Mapping[P, int]) -> None:
        """Notes that Kafka has committed these offsets."""
        self._confirmed.update(offsets)
