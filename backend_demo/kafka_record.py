"""A Kafka record as aiokafka returns it: what the domain decides about and what `faust_batch` delivers."""

from __future__ import annotations

from typing import Protocol


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
