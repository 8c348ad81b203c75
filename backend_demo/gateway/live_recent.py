"""The newest events, kept for clients that come back after a moment. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from backend_demo.gateway.live_event import Batch, Event
from backend_demo.gateway.live_place import Place


class Recent:
    """Events in the order in which they were read, up to a number of them and of bytes."""

    def __init__(self, begins: Sequence[int], *, count: int, bound_bytes: int) -> None:
        """`begins`: in each partition, the offset from which on everything is added."""
        self._begins = list(begins)
        self._events: deque[Event] = deque()
        self._count, self._bound, self._size = count, bound_bytes, 0

    def add(self, events: Sequence[Event]) -> None:
        """Adds the next events; the oldest ones go."""
        self._events.extend(events)
        self._size += sum(len(event.data) for event in events)
        while len(self._events) > self._count or self._size > self._bound:
            oldest = self._events.popleft()
            self._begins[oldest.partition] = oldest.offset + 1
            self._size -= len(oldest.data)

    def reaches(self, place: Place) -> bool:
        """Whether all events behind the place are here."""
        return all(here >= begin for here, begin in zip(place.offsets, self._begins, strict=True))

    def after(self, place: Place) -> list[Event]:
        """The events behind a place that it reaches."""
        offsets = place.offsets
        return [event for event in self._events if event.offset >= offsets[event.partition]]


def batch_after(place: Place, events: Sequence[Event]) -> Batch:
    """The events with the ids that lead on from a place, which moves behind them."""
    ids = []
    for event in events:
        place.move(event.partition, event.offset + 1)
        ids.append(place.id())
    return Batch(events, ids)
