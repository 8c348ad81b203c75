"""How `bdemo tail` prints: a Kafka record or an MQTT message as one line."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from backend_demo.domain.dead_letter import read_headers
from backend_demo.domain.topics import DEAD_LETTER, PIPELINE
from backend_demo.operations.tail_api import Event
from backend_demo.operations.tail_merge import Record
from backend_demo.operations.tail_mqtt import Message

#: The pretty form cuts longer values.
SHOWN_MAX = 500

# what a terminal obeys or shows as nothing: C0, DEL, C1, invisible characters, line separators, changes of direction
_CONTROL = re.compile("[\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_COLOURS = (36, 32, 33, 34, 35)
_RED, _BOLD, _DIM = 31, 1, 2

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def readable(raw: bytes) -> str:
    """Bytes as one line of text that no terminal obeys: what is no UTF-8 or a control character is escaped."""
    return _CONTROL.sub(_escape, raw.decode(errors="backslashreplace"))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


# -- JSON: one document a line, for programs


def record_json(record: Record) -> str:
    """A record as a JSON document."""
    return _document(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=_text(record.key),
        value=_value(record.value),
        headers=_headers(record.headers),
    )


def message_json(message: Message) -> str:
    """An MQTT message as a JSON document."""
    return _document(
        topic=message.topic,
        timestamp=message.received,
        qos=message.qos,
        retain=message.retain,
        payload=_value(message.payload),
    )


def event_json(event: Event) -> str:
    """An event of the live stream as a JSON document."""
    return _document(event=event.name, id=event.id, data=_value(event.data.encode()))


def _document(**fields: object) -> str:
    # JSON lets DEL, C1 and the like stand in a string; they can stand nowhere else, so they can be escaped afterwards
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", _encode(fields).decode())


def _value(raw: bytes | None) -> object:
    """JSON goes through as it is written, so that no number changes; other text is a string, other bytes are base64."""
    if raw is None:
        return None
    try:
        _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _text(raw)
    # line breaks in valid JSON are only space between its parts
    return msgspec.Raw(raw.translate(_SPACES).strip())


_SPACES = bytes.maketrans(b"\r\n\t", b"   ")


def _text(raw: bytes | None) -> object:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def _headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, object]:
    """Headers by name; where a name is repeated, a list."""
    found: dict[str, list[object]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(_text(value))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


# -- pretty: aligned columns, for people


class PrettyRecords:
    """Records as aligned lines: time, topic, partition:offset, key, value; columns grow with what they hold."""

    def __init__(self, topics: Sequence[str], *, colour: bool) -> None:
        self._colour = colour
        self._topic_width = max(map(len, topics))
        # the pipeline's topics have the same colours whichever of them are shown
        ranked = enumerate(dict.fromkeys((*PIPELINE, *topics)))
        self._topic_colour = {topic: _COLOURS[rank % len(_COLOURS)] for rank, topic in ranked}
        self._topic_colour[DEAD_LETTER] = _RED
        self._place = _Column(6, limit=20, right=True)
        self._key = _Column(6, limit=30)

    def __call__(self, record: Record) -> str:
        paint = _paint if self._colour else _plain
        colour = self._topic_colour[record.topic]
        key = "-" if record.key is None else readable(record.key)
        parts = [
            paint(_time(record.timestamp), _DIM),
            paint(record.topic.ljust(self._topic_width), colour),
            paint(self._place.fit(f"{record.partition}:{record.offset}"), colour),
            paint(self._key.fit(key), _BOLD),
        ]
        if record.topic == DEAD_LETTER:
            parts.append(paint(_refusal(record), _RED))
        elif record.headers:
            parts.append(
                paint(" ".join(f"{readable(name.encode())}={_shown(value)}" for name, value in record.headers), _DIM)
            )
        parts.append(_shown(record.value))
        return "  ".join(parts)


class PrettyMessages:
    """MQTT messages as aligned lines: time, topic, payload."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._topic = _Column(24, limit=60)

    def __call__(self, message: Message) -> str:
        paint = _paint if self._colour else _plain
        parts = [
            paint(_time(message.received), _DIM),
            paint(self._topic.fit(readable(message.topic.encode(errors="replace"))), _COLOURS[0]),
            _shown(message.payload),
        ]
        if message.retain:
            parts.append(paint("(retained)", _DIM))
        return "  ".join(parts)


class PrettyEvents:
    """Events of the live stream as aligned lines: time, name, sensor, value; or why a dead letter was refused."""

    def __init__(self, *, colour: bool) -> None:
        self._paint = _paint if colour else _plain
        self._sensor = _Column(6, limit=19)

    def __call__(self, event: Event) -> str:
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
            origin = readable(data["topic"].encode())
            if data["partition"] is not None:
                origin += f" {data['partition']}:{data['offset']}"
            told = [readable(str(data[name]).encode()) for name in ("reason", "stage", "detail")]
            parts.append(self._paint(f"{told[0]} in {told[1]}, from {origin}: {told[2]}", _RED))
            parts.append(_payload(data))
        else:
            parts.append(f"{data['value']:g}")
        return "  ".join(parts)


def _payload(letter: dict[str, Any]) -> str:
    """The refused bytes of a dead letter as the gateway shows them."""
    text = letter["payload"]
    if text is None:
        return _shown(None)
    shown = _shown(base64.b64decode(text) if letter["encoding"] == "base64" else text.encode())
    return f"{shown} (of {letter['size']} bytes)" if letter["truncated"] else shown


class _Column:
    """Pads to the widest text so far, up to a limit."""

    def __init__(self, width: int, *, limit: int, right: bool = False) -> None:
        self._width, self._limit, self._right = width, limit, right

    def fit(self, text: str) -> str:
        self._width = max(self._width, min(len(text), self._limit))
        return text.rjust(self._width) if self._right else text.ljust(self._width)


def _refusal(record: Record) -> str:
    """Why a dead letter was refused, by whom, and where it came from."""
    told = {
        name: readable(text.encode())
        for name, text in read_headers((name, value or b"") for name, value in record.headers).items()
    }
    origin = told.get("origin-topic", "?")
    if told.get("origin-partition", "-1") != "-1":
        origin += f" {told['origin-partition']}:{told.get('origin-offset', '?')}"
    cut = f", cut from {told['truncated-from']} bytes" if "truncated-from" in told else ""
    return f"{told.get('reason', '?')} in {told.get('stage', '?')}, from {origin}{cut}: {told.get('detail', '')}"


def _shown(raw: bytes | None) -> str:
    if raw is None:
        return "(null)"
    if not raw:
        return "(empty)"
    if len(raw) <= SHOWN_MAX:
        return readable(raw)
    return f"{readable(raw[:SHOWN_MAX])}... ({len(raw)} bytes)"


def _time(timestamp: float | None) -> str:
    """Local time; the date too when it is not today's."""
    if timestamp is None:
        return "-".ljust(12)
    moment = datetime.fromtimestamp(timestamp)
    clock = moment.isoformat(" ", "milliseconds")
    return clock[11:] if moment.date() == datetime.now().date() else clock


def _paint(text: str, code: int) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"


def _plain(text: str, code: int) -> str:
    return text
