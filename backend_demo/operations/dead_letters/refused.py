"""A dead letter as it is shown: what was refused, why, where it came from, and how it stands. Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from backend_demo.described import described
from backend_demo.domain.dead_letter import DeadLetter, read_headers
from backend_demo.domain.letter_mark import OPEN, LetterId, LetterState, ReplayedReading, Standing
from backend_demo.domain.names import SENSOR_MAX
from backend_demo.domain.reading import Reason
from backend_demo.domain.topics import sensor_of
from backend_demo.errors import UsageError
from backend_demo.operations.kafka_record import KafkaRecord

#: Bytes of a refused payload that are shown.
PAYLOAD_MAX = 2000


@described
@dataclass(frozen=True, slots=True)
class Refused:
    """A record or a payload that was refused."""

    id: str
    """Partition and offset of the dead letter itself, in topic `dead-letter`."""
    time: float | None
    """When it was refused, epoch seconds."""
    stage: str
    """The stage that refused it."""
    reason: str
    """The reason, in a word."""
    detail: str
    """The reason, in a sentence."""
    sensor: int | None
    """Null: its origin does not name a sensor."""
    topic: str
    """The origin: a topic of Kafka or of MQTT, or `POST /v1/readings`."""
    partition: int | None
    """Null: the origin is not Kafka."""
    offset: int | None
    """Null: the origin is not Kafka."""
    payload: str | None
    """The first 2000 bytes; null: there was no payload."""
    encoding: str
    """`utf-8`: the payload is text; `base64`: it is not."""
    size: int
    """Size of the whole payload, bytes."""
    truncated: bool
    """The payload is longer than what is shown."""
    state: LetterState
    """`open`; `unfinished`: a replay was begun and did not say that it ended; `replayed`; `dismissed`."""
    state_since: float | None
    """When it was replayed or dismissed, epoch seconds; null: it is open."""
    replayed: Sequence[ReplayedReading]
    """What its replay sends: `sensor` (a name, or a number in digits), `timestamp` and `value`."""


def refused(record: KafkaRecord, standing: Standing = OPEN, *, payload_max: int = PAYLOAD_MAX) -> Refused:
    """The dead letter in a record of the topic `dead-letter`, also when its headers are not ours.

    `payload_max`: how much of the payload is shown, bytes.
    """
    headers = read_headers((name, value or b"") for name, value in record.headers)
    raw = record.value
    shown = (raw or b"")[:payload_max]
    text = _text(shown, cut=raw is not None and len(raw) > payload_max)
    size = _number(headers.get("truncated-from", "")) or len(raw or b"")
    return Refused(
        id=f"{record.partition}:{record.offset}",
        time=record.timestamp,
        stage=headers.get("stage", "unknown"),
        reason=headers.get("reason", "unknown"),
        detail=headers.get("detail", ""),
        sensor=_sensor(record.key),
        topic=headers.get("origin-topic", "unknown"),
        partition=_number(headers.get("origin-partition", "")),
        offset=_number(headers.get("origin-offset", "")),
        payload=None if raw is None else base64.b64encode(shown).decode() if text is None else text,
        encoding="utf-8" if text is not None else "base64",
        size=size,
        truncated=size > len(shown),
        state=standing.state,
        state_since=standing.since,
        replayed=standing.readings,
    )


def dead_letter_of(record: KafkaRecord) -> DeadLetter:
    """The dead letter as its stage has made it."""
    headers = read_headers((name, value or b"") for name, value in record.headers)
    partition, offset = (_number(headers.get(name, "")) for name in ("origin-partition", "origin-offset"))
    return DeadLetter(
        headers.get("stage", "unknown"),
        cast("Reason", headers.get("reason", "unknown")),  # one that is not ours is shown and never compared
        headers.get("detail", ""),
        record.value,
        record.key,
        headers.get("origin-topic", "unknown"),
        -1 if partition is None else partition,
        -1 if offset is None else offset,
        headers.get("columns", ""),
    )


def is_cut(record: KafkaRecord) -> bool:
    """Whether the refused payload was too large to be kept whole."""
    return any(name == "truncated-from" for name, _ in record.headers)


def time_ms(record: KafkaRecord) -> int:
    """The time of a dead letter as its marks have it, epoch milliseconds; -1: it has none."""
    return -1 if record.timestamp is None else round(record.timestamp * 1000)


def letter_id(text: str) -> LetterId:
    """Partition and offset of `3:17`. Raises UsageError."""
    partition, colon, offset = text.partition(":")
    found = _number(partition), _number(offset)
    if not colon or found[0] is None or found[1] is None or found[0] >= 2**31 or found[1] >= 2**63:
        raise UsageError(f"invalid id of a dead letter {text[:40]!r}", hint="bdemo dlq ls shows them: 3:17")
    return found[0], found[1]


def _text(raw: bytes, *, cut: bool) -> str | None:
    """The bytes as text; None: they are not UTF-8. `cut`: the last character may be incomplete."""
    try:
        return raw.decode()
    except UnicodeDecodeError as problem:
        if cut and problem.reason == "unexpected end of data":
            return raw[: problem.start].decode()
        return None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None


def _sensor(key: bytes | None) -> int | None:
    """The sensor that a record's key names, by its number or by its MQTT topic."""
    if key is None:
        return None
    text = key.decode(errors="replace")
    number = _number(text)
    return sensor_of(text) if number is None or number > SENSOR_MAX or text != str(number) else number
