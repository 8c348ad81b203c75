"""A Kafka record as it stands in the log. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """One Kafka record as it stands in the log."""

    topic: str
    partition: int
    offset: int
    timestamp: float | None
    """Epoch seconds at which it was produced, not the sensor's time; None for a record without one."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def time_of(record: KafkaRecord) -> float:
    """The record's time; a record without one is older than all others."""
    return float("-inf") if record.timestamp is None else record.timestamp
