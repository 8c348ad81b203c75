"""Decides what is sent when a dead letter is replayed, or why nothing is. Pure.

The decision depends on the dead letter, the edit and the limits alone, never on the time at which it is made. So a
replay that is repeated sends the same readings, and these are stored once.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.letter_mark import ReplayedReading
from backend_demo.domain.mapping import Mapped, Mappings
from backend_demo.domain.names import number_of
from backend_demo.domain.reading import (
    ANY_TIME,
    UNREADABLE,
    Reading,
    Rejected,
    TimeLimits,
    decode_payload,
    decode_reading,
    micros,
    normalized,
)
from backend_demo.domain.topics import (
    AGGREGATED_DATA,
    PROCESSED_DATA,
    SENSOR_NAMES,
    SRC_DATA,
    mqtt_topic,
    name_in,
    why_no_sensor,
)

#: Takes every time: the limits are checked when the edit is made.
_EVERY_TIME = TimeLimits(ANY_TIME, 0, -ANY_TIME)


@dataclass(frozen=True)
class Edit:
    """What a replay changes; None: as the dead letter has it."""

    sensor: str | None = None
    """A name, or a number in decimal digits."""
    timestamp: float | None = None
    value: float | None = None
    mappings: Mappings | None = None
    """How to read the payload, in place of the pipeline's own mappings."""

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self != Edit()


@dataclass(frozen=True)
class Limits:
    """What the pipeline takes, as its settings say."""

    value_min: float
    value_max: float
    future_tolerance_s: float
    time_min: float
    mappings: Mappings = field(default_factory=Mappings)

    def refusal(self, reading: ReplayedReading, now: float) -> Rejected | None:
        """Why the pipeline would refuse a reading; None: it takes it."""
        late = TimeLimits(now, self.future_tolerance_s, self.time_min).refusal(reading.timestamp)
        if late is not None:
            return Rejected(*late, b"")
        if not self.value_min <= reading.value <= self.value_max:
            return Rejected("range", f"{reading.value} is not in {self.value_min} to {self.value_max}", b"")
        if self.topic(reading.sensor) is None:
            return Rejected("topic", f"a mapping takes what is sent to {mqtt_topic(reading.sensor)}", b"")
        return None

    def topic(self, sensor: str) -> str | None:
        """The MQTT topic under which a reading of this sensor is sent; None: mappings take all that there are."""
        forms = [mqtt_topic(sensor), *([mqtt_topic(sensor, original=True)] if sensor.isdecimal() else [])]
        return next((topic for topic in forms if self.mappings.of(topic.encode()) is None), None)


def decide(
    letter: DeadLetter, edit: Edit, limits: Limits, *, refused_at: float, now: float
) -> list[ReplayedReading] | Rejected:
    """The readings that a replay sends, or why it sends nothing: all readings of a payload, or none of them.

    `refused_at`: the time of the dead letter, for mappings that take the time of arrival. `now` bounds the timestamps.
    """
    found = _edited(letter, edit, limits, refused_at)
    if isinstance(found, Rejected):
        return found
    for reading in found:
        refusal = limits.refusal(reading, now)
        if refusal is not None:
            return refusal
    if letter.reason == "conflict" and _identity(found[0]) == _stored_identity(letter.raw):
        detail = "another value is stored for this sensor and time; give the reading another time, or another sensor"
        return Rejected("conflict", detail, b"")
    return found


def message(reading: ReplayedReading, limits: Limits) -> tuple[bytes, bytes]:
    """The reading as key and value of a record of `sensor-data`. It must be one that the limits take."""
    topic = limits.topic(reading.sensor)
    assert topic is not None  # noqa: S101 - narrows a type
    return topic.encode(), msgspec.json.encode({"value": reading.value, "timestamp": reading.timestamp})


def _identity(reading: ReplayedReading) -> tuple[int, int]:
    return number_of(reading.sensor), micros(reading.timestamp)


def _stored_identity(raw: bytes | None) -> tuple[int, int] | None:
    try:
        reading = decode_reading(raw or b"")
    except UNREADABLE:
        return None
    return reading.sensor, micros(reading.timestamp)


def _edited(letter: DeadLetter, edit: Edit, limits: Limits, refused_at: float) -> list[ReplayedReading] | Rejected:
    inside = _is_inside(letter)
    topic = _topic(letter)
    if letter.topic in (AGGREGATED_DATA, SENSOR_NAMES):
        return Rejected("topic", f"a record of {letter.topic} is no reading", b"")
    if edit.sensor is not None and edit.timestamp is not None and edit.value is not None:
        return [ReplayedReading(edit.sensor, normalized(edit.timestamp), edit.value)]
    raw = letter.raw
    if raw is None:
        return Rejected("empty", "no payload", b"")
    if letter.columns:
        raw = _object_of(raw, letter.columns)
    mappings = edit.mappings if edit.mappings is not None else None if inside else limits.mappings
    mapped = None if mappings is None or topic is None else mappings.of(topic.encode())
    if mapped is not None:
        found = mapped[0].read(mapped[1], raw, arrived=refused_at, limits=_EVERY_TIME)
        return found if isinstance(found, Rejected) else [_changed(edit, found)]
    if edit.mappings is not None:
        return Rejected("topic", f"no mapping matches {topic!r}" if topic else "no topic for a mapping to match", b"")
    if inside:
        return _of_the_pipeline(raw, edit)
    return _of_a_payload(raw, topic, edit)


def _topic(letter: DeadLetter) -> str | None:
    """The MQTT topic of a dead letter; from `src-data` on the key is the sensor's number."""
    if letter.key is None:
        return None
    key = letter.key.decode(errors="replace")
    return mqtt_topic(key) if _is_inside(letter) else key


def _is_inside(letter: DeadLetter) -> bool:
    """Whether it is a record behind the collection, which holds a reading of a numbered sensor."""
    return letter.partition >= 0 and letter.topic in (SRC_DATA, PROCESSED_DATA)


def _changed(edit: Edit, found: Mapped | ReplayedReading) -> ReplayedReading:
    return ReplayedReading(
        found.sensor if edit.sensor is None else edit.sensor,
        found.timestamp if edit.timestamp is None else normalized(edit.timestamp),
        found.value if edit.value is None else edit.value,
    )


def _of_the_pipeline(raw: bytes, edit: Edit) -> list[ReplayedReading] | Rejected:
    """A reading that the collection has read already."""
    try:
        reading = decode_reading(raw)
    except UNREADABLE as problem:
        return Rejected("json", str(problem)[:200], b"")
    return [_changed(edit, ReplayedReading(str(reading.sensor), normalized(reading.timestamp), reading.value))]


def _of_a_payload(raw: bytes, topic: str | None, edit: Edit) -> list[ReplayedReading] | Rejected:
    sensor = edit.sensor
    if sensor is None:
        sensor = None if topic is None else name_in(topic)
    if sensor is None:
        return Rejected("topic", "no sensor" if topic is None else why_no_sensor(topic), b"")
    if edit.value is not None or edit.timestamp is not None:
        patched = _patched(raw, {"value": edit.value, "timestamp": edit.timestamp})
        if isinstance(patched, Rejected):
            return patched
        raw = patched
    readings: list[ReplayedReading] = []
    items: Sequence[Reading | Rejected] = decode_payload(
        number_of(sensor), raw, now=ANY_TIME, future_tolerance_s=0, time_min=-ANY_TIME
    )
    for place, item in enumerate(items):
        if isinstance(item, Rejected):
            where = f"item {place}: " if len(items) > 1 else ""
            return Rejected(item.reason, f"{where}{item.detail}", b"")
        readings.append(ReplayedReading(sensor, item.timestamp, item.value))
    return readings


def _patched(raw: bytes, given: dict[str, float | None]) -> bytes | Rejected:
    """The object with these of its fields replaced; what is not given must be there, once."""
    try:
        pairs = json.loads(raw, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as problem:
        return Rejected("json", str(problem)[:200], b"")
    if not isinstance(pairs, _Pairs):
        return Rejected("json", "not an object: give its sensor, value and timestamp", b"")
    fields = {}
    for name, replaced in given.items():
        found = [value for key, value in pairs if key == name]
        if replaced is None and len(found) != 1:
            return Rejected("field", f"{name} {'more than once' if found else 'is missing'}", b"")
        fields[name] = found[0] if replaced is None else replaced
    return json.dumps(fields).encode()


def _object_of(line: bytes, columns: str) -> bytes:
    """A line of CSV as a JSON object; as it is, when it has not the fields of the columns."""
    try:
        names, fields = csv.reader([columns, line.decode()], strict=True)
        pairs = zip(names, fields, strict=True)
        return json.dumps({name.strip().lower(): text.strip() for name, text in pairs}).encode()
    except (ValueError, csv.Error):
        return line


class _Pairs(list[tuple[str, object]]):
    """The members of a JSON object, in order."""
