"""A Kafka record as aiokafka returns it, and a log: what the domain decides about and `faust_batch` delivers."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Record(Protocol):
    """One record of a partition."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...  # epoch milliseconds


class LogRange(NamedTuple):
    """The log of a partition when it is assigned."""

    begin: int
    """Its oldest offset."""
    end: int
    """The offset that its next record will have."""
    topic_id: str = ""
    """Kafka's id of the topic, which changes when it is deleted and created again; empty where Kafka has none."""
    committed: int | None = None
    """The group's committed offset, if it was committed for the topic of this id."""
