"""What becomes of one item of a body: a reading, or why there is none. Pure."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec

from backend_demo.domain.names import SENSOR_MAX, number_in, number_of
from backend_demo.domain.reading import UNREADABLE, Reading, Rejected
from backend_demo.domain.topics import mqtt_topic, name_in, why_no_sensor

Found = tuple[str | None, Reading | Rejected]
"""The sensor's name or number, if the item has one, and its reading."""

DecodePayload = Callable[[int, bytes], Reading | Rejected]
"""Decodes a payload as the collection does: an object with value and timestamp."""

COLUMNS = ("sensor", "timestamp", "value")

#: What a program may make of a number: 7.0 and -1 are not meant as names.
_NUMBER = re.compile(r"[+-]?[0-9]+\.?[0-9]*")


class _Named(msgspec.Struct, gc=False):
    sensor: int | str


class _Usual(msgspec.Struct, gc=False):
    sensor: Annotated[int, msgspec.Meta(ge=0, le=SENSOR_MAX)]
    timestamp: float
    value: float


class _Text(msgspec.Struct, gc=False):
    timestamp: str
    value: str


_decode_named = msgspec.json.Decoder(_Named).decode
_decode_usual = msgspec.json.Decoder(_Usual).decode
_encode = msgspec.json.Encoder().encode


class HeaderInvalid(ValueError):
    """The first line of a CSV body does not name the columns."""


class ItemReader(Protocol):
    """Reads the items of one body, in their order."""

    columns: str
    """The line of CSV that names the columns; empty for other formats."""

    def __call__(self, item: bytes) -> Found | None:
        """None: the item is not about a reading. Raises HeaderInvalid."""


def sensor_in(item: bytes, given: int | str) -> str | Rejected:
    """The sensor as an item gives it, by the rules of its MQTT topic: a name, or a number in decimal digits."""
    name = str(given)
    if _NUMBER.fullmatch(name) and number_in(name) is None:
        return Rejected("field", f"invalid sensor number {name[:60]!r}", item)
    topic = mqtt_topic(name)
    return name if name_in(topic) == name else Rejected("field", why_no_sensor(topic), item)


class _Numbers(msgspec.Struct, gc=False):
    value: float
    timestamp: float


class JsonObjects:
    """Items that are JSON objects with sensor, value and timestamp."""

    columns = ""

    def __init__(self, decode: DecodePayload) -> None:
        self._decode = decode

    def __call__(self, item: bytes) -> Found:
        if item[:1] != b"{":
            return None, Rejected("json", "not an object", item)
        if item.count(b":") == 3:  # each key once, nothing beside them
            try:
                usual = _decode_usual(item)
            except UNREADABLE:
                pass
            else:
                numbers = _encode(_Numbers(usual.value, usual.timestamp))
                return str(usual.sensor), _with_raw(self._decode(usual.sensor, numbers), item)
        sensor = _sensor_of(item)
        return (None, sensor) if isinstance(sensor, Rejected) else (sensor, self._decode(number_of(sensor), item))


def _sensor_of(item: bytes) -> str | Rejected:
    """The sensor of an object, however its key is spelled."""
    # msgspec keeps the last of two equal keys; with a backslash, a key can be spelled in another way
    if item.count(b'"sensor"') > 1 or b"\\" in item:
        try:
            pairs = json.loads(item, object_pairs_hook=list)
        except (ValueError, RecursionError) as problem:
            return Rejected("json", str(problem)[:200], item)
        if sum(key == "sensor" for key, _ in pairs) > 1:
            return Rejected("field", "sensor more than once", item)
    try:
        given = _decode_named(item).sensor
    except msgspec.ValidationError as problem:
        return Rejected("field", str(problem)[:200], item)
    except UNREADABLE as problem:
        return Rejected("json", str(problem)[:200], item)
    return sensor_in(item, given)


class CsvRows:
    """Items that are the lines of a CSV table; its first line names the columns, in any order."""

    def __init__(self, decode: DecodePayload) -> None:
        self._decode = decode
        self.columns = ""
        self._places: tuple[int, int, int] | None = None
        self._width = 0

    def __call__(self, item: bytes) -> Found | None:
        try:
            fields = _fields(item)
        except (UnicodeDecodeError, csv.Error) as problem:
            if self._places is None:
                raise HeaderInvalid(f"the first line is not CSV: {problem}") from problem
            return None, Rejected("field", str(problem)[:200], item)
        if self._places is None:
            self._places, self._width = _places(fields), len(fields)
            self.columns = item.decode()
            return None
        if len(fields) != self._width:
            return None, Rejected("field", f"{len(fields)} fields, but {self._width} columns", item)
        given, timestamp, value = (fields[place] for place in self._places)
        sensor = sensor_in(item, given)
        if isinstance(sensor, Rejected):
            return None, sensor
        return sensor, _with_raw(self._decode(number_of(sensor), _encode(_Text(timestamp, value))), item)


def _fields(line: bytes) -> list[str]:
    text = line.decode()
    fields = next(csv.reader([text], strict=True)) if '"' in text else text.split(",")
    return [field.strip() for field in fields]


def _places(header: list[str]) -> tuple[int, int, int]:
    names = [name.lower() for name in header]
    for name in COLUMNS:
        if names.count(name) != 1:
            raise HeaderInvalid(f"the first line must name the columns {', '.join(COLUMNS)}, each once")
    sensor, timestamp, value = (names.index(name) for name in COLUMNS)
    return sensor, timestamp, value


def _with_raw(found: Reading | Rejected, item: bytes) -> Reading | Rejected:
    """The same, with the bytes as they came for a dead letter."""
    return Rejected(found.reason, found.detail, item) if isinstance(found, Rejected) else found
