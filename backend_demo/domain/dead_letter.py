"""A dead letter: the refused bytes as they came, with stage, reason and origin in the headers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from backend_demo.domain.reading import Reason

#: Larger refused records are cut, so that their dead letter stays below the broker's limit with its headers.
RAW_MAX = 900_000
KEY_MAX = 50_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Bytes that could not be used, and where they were refused."""

    stage: str
    reason: Reason
    detail: str
    raw: bytes | None
    key: bytes | None
    topic: str
    partition: int = -1
    """-1 where the origin is MQTT."""
    offset: int = -1
    columns: str = ""
    """Of a line of CSV: the first line of its table, which names the columns."""

    def record_key(self) -> bytes | None:
        """The Kafka record's key: the refused record's own."""
        return self.key if self.key is None else self.key[:KEY_MAX]

    def value(self) -> bytes | None:
        """The Kafka record's value: the refused bytes."""
        return self.raw if self.raw is None or len(self.raw) <= RAW_MAX else self.raw[:RAW_MAX]

    def headers(self) -> list[tuple[str, bytes]]:
        """The Kafka record's headers."""
        headers = [
            ("stage", self.stage.encode()),
            ("reason", self.reason.encode()),
            ("detail", self.detail.encode(errors="replace")[:500]),
            ("origin-topic", self.topic.encode(errors="replace")[:500]),
            ("origin-partition", b"%d" % self.partition),
            ("origin-offset", b"%d" % self.offset),
        ]
        if self.columns:
            headers.append(("columns", self.columns.encode()[:500]))
        if self.raw is not None and len(self.raw) > RAW_MAX:
            headers.append(("truncated-from", b"%d" % len(self.raw)))
            headers.append(("sha256", hashlib.sha256(self.raw).hexdigest().encode()))
        return headers


def read_headers(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Decodes a dead letter's headers."""
    return {name: value.decode(errors="replace") for name, value in headers}
