"""Records, messages and events as JSON, one document per line, for programs."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import msgspec
from typing_extensions import TypedDict

from backend_demo.operations.kafka_record import KafkaRecord
from backend_demo.operations.tail.api import ReceivedEvent
from backend_demo.operations.tail.mqtt import MqttMessage
from backend_demo.text import escaped_json

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_SPACES = bytes.maketrans(b"\r\n\t", b"   ")


class RecordLine(TypedDict):
    """A Kafka record."""

    topic: str
    partition: int
    offset: int
    timestamp: float | None
    """Epoch seconds, when it was produced."""
    key: str | dict[str, str] | None
    value: Any
    """JSON as it is, other text as a string, other bytes as {"base64": "..."}; the same holds for a key or header."""
    headers: dict[str, Any]
    """By name; a name that is repeated has a list."""


class MessageLine(TypedDict):
    """An MQTT message."""

    topic: str
    timestamp: float
    """Epoch seconds, when it arrived."""
    qos: int
    retain: bool
    payload: Any


class EventLine(TypedDict):
    """An event of the gateway's live stream."""

    event: str
    id: str
    """A later tail with this --last-event-id begins behind the event."""
    data: Any


def record_line(record: KafkaRecord) -> bytes:
    """A Kafka record as a JSON document."""
    return _line(
        RecordLine(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=record.timestamp,
            key=text_or_base64(record.key),
            value=_value(record.value),
            headers=_headers(record.headers),
        )
    )


def message_line(message: MqttMessage) -> bytes:
    """An MQTT message as a JSON document."""
    return _line(
        MessageLine(
            topic=message.topic,
            timestamp=message.received,
            qos=message.qos,
            retain=message.retain,
            payload=_value(message.payload),
        )
    )


def event_line(event: ReceivedEvent) -> bytes:
    """An event of the live stream as a JSON document."""
    return _line(EventLine(event=event.name, id=event.id, data=_value(event.data.encode())))


def _line(document: RecordLine | MessageLine | EventLine) -> bytes:
    return escaped_json(_encode(document).decode()).encode()


def _value(raw: bytes | None) -> Any:
    """JSON goes through as it is written, so that no number changes; other text is a string, other bytes are base64."""
    if raw is None:
        return None
    try:
        _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return text_or_base64(raw)
    # line breaks in valid JSON are only space between its parts
    return msgspec.Raw(raw.translate(_SPACES).strip())


def text_or_base64(raw: bytes | None) -> str | dict[str, str] | None:
    """Bytes for JSON: text, or {"base64": "..."} when they are not UTF-8."""
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def _headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, Any]:
    """Headers by name; where a name is repeated, a list."""
    found: dict[str, list[Any]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(text_or_base64(value))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
