"""Records, messages and events as lines of aligned columns, for people."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from backend_demo.domain.dead_letter import read_headers
from backend_demo.domain.topics import DEAD_LETTER, PIPELINE
from backend_demo.operations.kafka_record import KafkaRecord
from backend_demo.operations.tail.api import ReceivedEvent
from backend_demo.operations.tail.mqtt import MqttMessage
from backend_demo.text import escaped, escaped_bytes

#: Longer values are cut, bytes.
SHOWN_MAX = 500

_COLOURS = (36, 32, 33, 34, 35)
_RED, _BOLD, _DIM = 31, 1, 2

_decode = msgspec.json.Decoder().decode


class PrettyRecords:
    """Records as aligned lines: time, topic, partition:offset, key, value; columns grow with their content."""

    def __init__(self, topics: Sequence[str], *, colour: bool) -> None:
        self._paint = _paint if colour else _plain
        self._topic_width = max(map(len, topics))
        # the pipeline's topics have the same colours whichever of them are shown
        ranked = enumerate(dict.fromkeys((*PIPELINE, *topics)))
        self._topic_colour = {topic: _COLOURS[rank % len(_COLOURS)] for rank, topic in ranked}
        self._topic_colour[DEAD_LETTER] = _RED
        self._place = _Aligned(6, limit=20, right=True)
        self._key = _Aligned(6, limit=30)

    def __call__(self, record: KafkaRecord) -> str:
        paint = self._paint
        colour = self._topic_colour[record.topic]
        key = "-" if record.key is None else escaped_bytes(record.key)
        parts = [
            paint(_time(record.timestamp), _DIM),
            paint(record.topic.ljust(self._topic_width), colour),
            paint(self._place.fit(f"{record.partition}:{record.offset}"), colour),
            paint(self._key.fit(key), _BOLD),
        ]
        if record.topic == DEAD_LETTER:
            parts.append(paint(_refusal(record), _RED))
        elif record.headers:
            parts.append(paint(" ".join(f"{escaped(name)}={_shown(value)}" for name, value in record.headers), _DIM))
        parts.append(_shown(record.value))
        return "  ".join(parts)


class PrettyMessages:
    """MQTT messages as aligned lines: time, topic, payload."""

    def __init__(self, *, colour: bool) -> None:
        self._paint = _paint if colour else _plain
        self._topic = _Aligned(24, limit=60)

    def __call__(self, message: MqttMessage) -> str:
        paint = self._paint
        parts = [
            paint(_time(message.received), _DIM),
            paint(self._topic.fit(escaped(message.topic)), _COLOURS[0]),
            _shown(message.payload),
        ]
        if message.retain:
            parts.append(paint("(retained)", _DIM))
        return "  ".join(parts)


class PrettyEvents:
    """Events of the live stream as aligned lines: time, name, sensor, value; or why a dead letter was refused."""

    def __init__(self, *, colour: bool) -> None:
        self._paint = _paint if colour else _plain
        self._sensor = _Aligned(6, limit=19)

    def __call__(self, event: ReceivedEvent) -> str:
        data: dict[str, Any] = _decode(event.data)
        dead = event.name == "dead-letter"
        colour = _RED if dead else _COLOURS[event.name == "average"]
        sensor = "-" if data["sensor"] is None else str(data["sensor"])
        parts = [
            self._paint(_time(data["time"] if dead else data["timestamp"]), _DIM),
            self._paint(event.name.ljust(11), colour),
            self._paint(self._sensor.fit(sensor), _BOLD),
        ]
        if dead:
            origin = escaped(data["topic"])
            if data["partition"] is not None:
                origin += f" {data['partition']}:{data['offset']}"
            reason, stage, detail = [escaped(str(data[name])) for name in ("reason", "stage", "detail")]
            parts.append(self._paint(f"{reason} in {stage}, from {origin}: {detail}", _RED))
            parts.append(_payload(data))
        else:
            parts.append(f"{data['value']:g}")
        return "  ".join(parts)


def _payload(letter: dict[str, Any]) -> str:
    """The refused bytes, as far as the gateway sent them."""
    text = letter["payload"]
    if text is None:
        return _shown(None)
    shown = _shown(base64.b64decode(text) if letter["encoding"] == "base64" else text.encode())
    return escaped(f"{shown} (of {letter['size']} bytes)") if letter["truncated"] else shown


class _Aligned:
    """Pads texts to the widest one so far, up to a limit."""

    def __init__(self, width: int, *, limit: int, right: bool = False) -> None:
        self._width, self._limit, self._right = width, limit, right

    def fit(self, text: str) -> str:
        self._width = max(self._width, min(len(text), self._limit))
        return text.rjust(self._width) if self._right else text.ljust(self._width)


def _refusal(record: KafkaRecord) -> str:
    """Why a dead letter was refused, by whom, and where it came from."""
    headers = {
        name: escaped(text)
        for name, text in read_headers((name, value or b"") for name, value in record.headers).items()
    }
    origin = headers.get("origin-topic", "?")
    if headers.get("origin-partition", "-1") != "-1":
        origin += f" {headers['origin-partition']}:{headers.get('origin-offset', '?')}"
    cut = f", cut from {headers['truncated-from']} bytes" if "truncated-from" in headers else ""
    return (
        f"{headers.get('reason', '?')} in {headers.get('stage', '?')}, from {origin}{cut}: {headers.get('detail', '')}"
    )


def _shown(raw: bytes | None) -> str:
    if raw is None:
        return "(null)"
    if not raw:
        return "(empty)"
    if len(raw) <= SHOWN_MAX:
        return escaped_bytes(raw)
    return f"{escaped_bytes(raw[:SHOWN_MAX])}... ({len(raw)} bytes)"


def _time(timestamp: float | None) -> str:
    """Local time, with the date when it is not today."""
    if timestamp is None:
        return "-".ljust(12)
    moment = datetime.fromtimestamp(timestamp)
    clock = moment.isoformat(" ", "milliseconds")
    return clock[11:] if moment.date() == datetime.now().date() else clock


def _paint(text: str, code: int) -> str:
    return f"\x1b[{code}m{escaped(text)}\x1b[0m"


def _plain(text: str, code: int) -> str:
    return escaped(text)
