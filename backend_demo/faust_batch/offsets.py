"""Which offsets may be committed: per partition, the longest acknowledged prefix of what was delivered. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

P = TypeVar("P")
"""A partition: anything hashable."""


@dataclass(slots=True, eq=False)
class Delivery(Generic[P]):
    """A batch that was handed out: where it ends in each partition, and in which epoch."""

    epoch: int
    ends: Mapping[P, int]
    """The offset after the batch's last record, by partition."""
    acknowledged: bool = field(default=False, init=False)


class OffsetTracker(Generic[P]):
    """Follows deliveries and acknowledgements; an epoch ends when partitions move or positions are sought.

    What was delivered in an earlier epoch will be delivered again (to us or to another consumer), so its
    acknowledgement means nothing any more.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.acknowledged = 0
        """Batches so far."""
        self._pending: dict[P, deque[Delivery[P]]] = {}
        self._prefix: dict[P, int] = {}
        self._confirmed: dict[P, int] = {}

    def reset(self) -> None:
        """Begins a new epoch: everything that is under way is forgotten."""
        self.epoch += 1
        self._pending.clear()
        self._prefix.clear()
        self._confirmed.clear()

    def deliver(self, ends: Mapping[P, int]) -> Delivery[P]:
        """Records that the records up to `ends` (exclusive) were handed out as one batch."""
        delivery = Delivery(self.epoch, ends)
        for partition in ends:
            self._pending.setdefault(partition, deque()).append(delivery)
        return delivery

    def acknowledge(self, delivery: Delivery[P]) -> bool:
        """Marks a batch as done. False: it is of an earlier epoch, and will be delivered again."""
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
        """Whether a batch was handed out and not acknowledged yet."""
        return any(self._pending.values())

    def committable(self) -> dict[P, int]:
        """The offsets that may be committed and that Kafka has not confirmed yet."""
        return {
            partition: offset for partition, offset in self._prefix.items() if self._confirmed.get(partition) != offset
        }

    def confirm(self, offsets: Mapping[P, int]) -> None:
        """Kafka has these offsets."""
        self._confirmed.update(offsets)
