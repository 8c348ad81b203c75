"""How far Kafka's log has been read for the live streams, and the newest events behind that point. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend_demo.domain.topics import Partition
from backend_demo.gateway.live.event import EventBatch, StreamEvent, event
from backend_demo.gateway.live.position import StreamPosition
from backend_demo.gateway.live.recent import Recent, batch_after
from backend_demo.operations.kafka_record import KafkaRecord

#: What is kept for clients that come back: a number of events and of bytes, and how many records of each partition from
#: before the reader began.
RECENT_EVENTS, RECENT_BYTES, RECENT_RECORDS = 10_000, 4 * 1024 * 1024, 400


class Feed:
    """Kafka's log as it has been read: its partitions, the position behind the last event, the recent events."""

    def __init__(self) -> None:
        self.log_name = ""
        """Names the cluster and the partitions; empty: the next reader begins with what comes then."""
        self.partitions: list[Partition] = []
        self.position = StreamPosition("", ())
        self.recent = Recent((), count=0, bound_bytes=0)
        self._index: dict[Partition, int] = {}

    def begin(self, log_name: str, starts: Mapping[Partition, int]) -> None:
        """Forgets all events, and begins at these offsets of a log."""
        self.log_name, self.partitions = log_name, list(starts)
        self._index = {partition: index for index, partition in enumerate(self.partitions)}
        self.position = StreamPosition(log_name, list(starts.values()))
        self.recent = Recent(list(starts.values()), count=RECENT_EVENTS, bound_bytes=RECENT_BYTES)

    def add(self, events: Sequence[StreamEvent]) -> EventBatch:
        """The next events with their ids; the position moves behind them."""
        self.recent.add(events)
        return batch_after(self.position, events)

    def move(self, offsets: Mapping[Partition, int]) -> None:
        """Moves on to these offsets, also where no event was."""
        for index, partition in enumerate(self.partitions):
            self.position.move(index, offsets[partition])

    def events(self, found: Mapping[Partition, Sequence[KafkaRecord]]) -> list[StreamEvent]:
        """The events of these records."""
        made = (event(record, self._index[partition]) for partition, records in found.items() for record in records)
        return [each for each in made if each is not None]

    def offsets(self, position: StreamPosition) -> dict[Partition, int]:
        """A position of this log, by partition."""
        return dict(zip(self.partitions, position.offsets, strict=True))
