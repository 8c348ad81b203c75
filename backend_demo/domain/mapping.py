"""Mappings: readings in the topics and payloads of devices that know nothing of us."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

import msgspec

from backend_demo.domain.names import name_problem, number_of
from backend_demo.domain.payload_path import PathProblem, PayloadPath
from backend_demo.domain.reading import (
    UNREADABLE,
    Reason,
    Rejected,
    TimeLimits,
    epoch_seconds,
    finite_number,
    normalized,
    quoted,
)
from backend_demo.domain.topic_pattern import SENSOR, TopicPattern
from backend_demo.domain.topics import sensor_of

#: What one step of the unit is in a second's time.
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}
TIME_FORMATS = (*_PER_SECOND, "rfc3339", "local")

#: Conversions to degrees Celsius. Four decimals are more than any thermometer has, and hide the error of the arithmetic
#: with floats: 295.15 K is 22.0, not 21.999999999999943.
_CELSIUS: dict[str, Callable[[float], float]] = {
    "C": lambda value: value,
    "F": lambda value: round((value - 32) * 5 / 9, 4),
    "K": lambda value: round(value - 273.15, 4),
}

ARRIVAL = "arrival"
BARE = "payload"
PAIR = "payload:"

_LOCAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?")
_PAIRS = re.compile(r"([^\s=&;,]+)=([^\s&;,]*)")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

_decode = msgspec.json.Decoder().decode


class MappingInvalid(ValueError):
    """A mapping cannot be used; `field` is the one to change."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Mapped(NamedTuple):
    """What a mapping found in a message; `sensor` is a name, or a number in decimal digits."""

    sensor: str
    timestamp: float
    value: float


class _Refusal(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class DeviceMapping:
    """Where the sensor, the value and the time are in one kind of message. Compiled once; raises MappingInvalid."""

    def __init__(
        self,
        *,
        topic: str,
        value: str,
        time: str,
        time_format: str = "s",
        unit: str = "C",
        sensor: str = "",
        zone: tzinfo | None = None,
    ) -> None:
        self.topic = _checked("topic", TopicPattern, topic)
        if time_format not in TIME_FORMATS:
            raise MappingInvalid("time_format", f"unknown time_format {time_format!r}: {', '.join(TIME_FORMATS)}")
        if unit not in _CELSIUS:
            raise MappingInvalid("unit", f"unknown unit {unit!r}: {', '.join(_CELSIUS)}")
        if time != ARRIVAL and time_format == "local" and zone is None:
            raise MappingInvalid("zone", "time_format 'local' needs a zone, such as 'Europe/Berlin'")
        if self.topic.names_sensor == bool(sensor):
            raise MappingInvalid(
                "sensor" if sensor else "topic",
                f"the sensor is named twice: by {SENSOR} in the topic and by the field sensor"
                if sensor
                else f"topic {topic!r} has no {SENSOR}, and there is no field sensor",
            )
        self._bare, self._pairs = value == BARE, value.startswith(PAIR)
        if self._bare and (sensor or time != ARRIVAL):
            raise MappingInvalid("time" if time != ARRIVAL else "sensor", "a bare payload holds nothing but the value")
        if self._pairs != time.startswith(PAIR) and time != ARRIVAL:
            raise MappingInvalid(
                "time", f"value and time are in one form: both with {PAIR!r} before the key, or neither"
            )
        self._value = None if self._bare else _path("value", value)
        self._time = None if time == ARRIVAL else _path("time", time)
        self._time_format, self._zone = time_format, zone
        self._celsius = _CELSIUS[unit]
        self._sensor = sensor
        self._sensor_paths = [_path("sensor", each) for each in _PLACEHOLDER.findall(sensor)]
        if sensor and not self._sensor_paths:
            raise MappingInvalid("sensor", f"sensor {sensor!r} has no path in braces, such as '{{id}}'")

    def read(self, topic: str, payload: bytes, *, arrived: float, limits: TimeLimits) -> Mapped | Rejected:
        """The reading in a message on a topic that matches. `arrived`: epoch seconds, of a whole millisecond."""
        try:
            document = self._document(payload)
            value = _temperature(document if self._value is None else self._value.find(document))
            timestamp = arrived if self._time is None else self._timestamp(self._time.find(document))
            sensor = self.topic.sensor(topic) if not self._sensor else self._named(document)
        except PathProblem as problem:
            return Rejected("field", str(problem), payload)
        except _Refusal as refusal:
            return Rejected(refusal.reason, refusal.detail, payload)
        wrong = limits.refusal(timestamp)
        if wrong is not None:
            return Rejected(*wrong, payload)
        return Mapped(sensor, normalized(timestamp), self._celsius(value) + 0.0)

    def _document(self, payload: bytes) -> Any:
        if not payload:
            raise _Refusal("empty", "no payload")
        if not (self._bare or self._pairs):
            try:
                return _decode(payload)
            except UNREADABLE as problem:
                raise _Refusal("json", str(problem)[:200]) from problem
        try:
            text = payload.decode().strip()
        except UnicodeDecodeError as problem:
            raise _Refusal("value", str(problem)) from problem
        if self._bare:
            return text
        pairs = _PAIRS.findall(text)
        found = dict(pairs)
        if len(found) < len(pairs):
            raise _Refusal("field", "a key more than once")
        return found

    def _timestamp(self, given: Any) -> float:
        timestamp = None
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            pass
        elif self._time_format in _PER_SECOND:
            number = finite_number(given)
            timestamp = None if number is None else number / _PER_SECOND[self._time_format]
        elif isinstance(given, str):
            timestamp = epoch_seconds(given, times_only=True)
            if timestamp is None and self._zone is not None and _LOCAL.fullmatch(given):
                timestamp = _local(given, self._zone)
        if timestamp is None:
            raise _Refusal("time", f"no time in the format {self._time_format!r}: {quoted(given)}")
        return timestamp

    def _named(self, document: Any) -> str:
        parts = []
        for path in self._sensor_paths:
            part = path.find(document)
            if isinstance(part, bool) or not isinstance(part, int | str):
                raise _Refusal("field", f"{path.text!r} is neither a text nor a whole number: {quoted(part)}")
            parts.append(str(part))
        found = iter(parts)
        return _PLACEHOLDER.sub(lambda _: next(found), self._sensor)


class Mappings:
    """All mappings; the first that matches a topic applies. Remembers the topics it has seen."""

    def __init__(self, mappings: Sequence[DeviceMapping] = ()) -> None:
        self._mappings = mappings
        self._known: dict[bytes, tuple[DeviceMapping, str] | None] = {}

    def of(self, key: bytes) -> tuple[DeviceMapping, str] | None:
        """The mapping of an MQTT topic, and the topic as text; None when no mapping matches."""
        if not self._mappings:
            return None
        if key not in self._known:
            if len(self._known) > 1_000_000:  # a flood of made-up topics must not fill the memory
                self._known.clear()
            topic = key.decode(errors="replace")
            mapping = next((each for each in self._mappings if each.topic.matches(topic)), None)
            self._known[key] = None if mapping is None else (mapping, topic)
        return self._known[key]


class TopicSensors:
    """The number of the sensor that an MQTT topic names, by a mapping or in a built-in form."""

    def __init__(self, mappings: Sequence[DeviceMapping] = ()) -> None:
        self._mappings = Mappings(mappings)

    def __call__(self, key: bytes) -> int | None:
        """None: the topic names no sensor, or its messages do."""
        mapped = self._mappings.of(key)
        if mapped is None:
            return sensor_of(key.decode(errors="replace"))
        mapping, topic = mapped
        name = mapping.topic.sensor(topic)
        return None if name_problem(name) is not None else number_of(name)


def with_preset(fields: Mapping[str, str], presets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The fields of a mapping over those of its preset. Raises MappingInvalid: unknown preset, missing field."""
    name = fields.get("preset", "")
    if name and name not in presets:
        raise MappingInvalid("preset", f"unknown preset {name!r}: {', '.join(presets)}")
    found = {**presets.get(name, {}), **{field: text for field, text in fields.items() if field != "preset"}}
    for field, example in (("topic", "'home/{sensor}/climate'"), ("value", "'temperature'"), ("time", f"'{ARRIVAL}'")):
        if not found.get(field):
            raise MappingInvalid(field, f"{field} is missing: write for example {field} = {example}, or name a preset")
    return found


def _checked(field: str, make: Callable[[str], TopicPattern], text: str) -> TopicPattern:
    try:
        return make(text)
    except ValueError as problem:
        raise MappingInvalid(field, str(problem)) from problem


def _path(field: str, text: str) -> PayloadPath:
    try:
        return PayloadPath(text.removeprefix(PAIR))
    except ValueError as problem:
        raise MappingInvalid(field, str(problem)) from problem


def _temperature(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise _Refusal("field", f"the value is not a number: {quoted(given)}")
    value = finite_number(given)
    if value is None:
        raise _Refusal("value", f"not a finite number: {quoted(given)}")
    return value


def _local(given: str, zone: tzinfo) -> float | None:
    """Epoch seconds of a local time; of the hour that comes twice in autumn, the first is meant."""
    try:
        return datetime.fromisoformat(given.upper()).replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        return None
