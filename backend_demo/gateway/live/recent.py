"""The newest events, kept for clients that come back soon. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from backend_demo.gateway.live.event import EventBatch, StreamEvent
from backend_demo.gateway.live.position import StreamPosition


class Recent:
    """Events in the order in which they were read, bounded in number and in bytes."""

    def __init__(self, begins: Sequence[int], *, count: int, bound_bytes: int) -> None:
        """`begins`: the offset of each partition from which on all events are added."""
        self._begins = list(begins)
        self._events: deque[StreamEvent] = deque()
        self._count, self._bound, self._size = count, bound_bytes, 0

    def add(self, events: Sequence[StreamEvent]) -> None:
        """Adds the next events, and drops the oldest beyond the bounds."""
        self._events.extend(events)
        self._size += sum(len(event.data) for event in events)
        while len(self._events) > self._count or self._size > self._bound:
            oldest = self._events.popleft()
            self._begins[oldest.partition] = oldest.offset + 1
            self._size -= len(oldest.data)

    def reaches(self, position: StreamPosition) -> bool:
        """Whether all events after the position are here."""
        return all(here >= begin for here, begin in zip(position.offsets, self._begins, strict=True))

    def after(self, position: StreamPosition) -> list[StreamEvent]:
        """The events after a position; complete if it `reaches` the position."""
        offsets = position.offsets
        return [event for event in self._events if event.offset >= offsets[event.partition]]


def batch_after(position: StreamPosition, events: Sequence[StreamEvent]) -> EventBatch:
    """The events with their ids, counted on from the position, which moves past them."""
    ids = []
    for event in events:
        position.move(event.partition, event.offset + 1)
        ids.append(position.id())
    return EventBatch(events, ids)
