"""Where a consumer begins after an assignment. Pure.

A committed offset has the id of its topic beside it: after the topic was deleted and created again, the offset of the
old one says nothing, though the new one may have a record there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from aiokafka import OffsetAndMetadata

from backend_demo.kafka_record import LogRange

P = TypeVar("P")
"""A partition: anything hashable."""


def log_range(begin: int, end: int, topic_id: str, committed: OffsetAndMetadata | None) -> LogRange:
    """The log of a partition, with the committed offset if it is known to be of this topic."""
    ours = committed is not None and topic_id != "" and committed.metadata == topic_id
    return LogRange(begin, end, topic_id, committed.offset if committed is not None and ours else None)


def starts(logs: Mapping[P, LogRange], committed: Mapping[P, OffsetAndMetadata]) -> tuple[dict[P, int], frozenset[P]]:
    """Where each partition begins that has a committed offset, and those of a topic that was created again.

    An offset without an id, of a Kafka that has none or of an older version of ours, counts as it stands.
    """
    again = frozenset(
        partition
        for partition, offset in committed.items()
        if offset.metadata and logs[partition].topic_id not in ("", offset.metadata)
    )
    begins = {
        partition: logs[partition].begin if partition in again else each.offset for partition, each in committed.items()
    }
    return begins, again
