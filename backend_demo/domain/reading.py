"""A reading: its identity, its encodings, and why bytes are rejected as a reading (`Rejected`)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Literal

import msgspec

from backend_demo.domain.names import SENSOR_MAX

Reason = Literal[
    "topic",  # the MQTT topic names no sensor
    "key",  # the record has no key, or not the key of its reading
    "empty",  # no payload, or an array without readings
    "size",  # larger than the limit
    "json",  # not a JSON object or an array of objects
    "field",  # value or timestamp is missing, repeated, or has a wrong type
    "value",  # not a finite number
    "range",  # outside the plausible range
    "time",  # the timestamp is not a time
    "old",  # the timestamp is before the lowest that is taken
    "future",  # the timestamp is ahead of now
    "conflict",  # another value was stored under this identity before
    "rights",  # the MQTT user may not publish to this topic
]


Sensor = Annotated[int, msgspec.Meta(ge=0, le=SENSOR_MAX)]
"""A sensor's number."""

Time = Annotated[float, msgspec.Meta(ge=0)]
"""A sensor's time: epoch seconds, whole microseconds."""


class Reading(msgspec.Struct, gc=False):
    """One temperature of one sensor, as it travels from `src-data` on; an average is encoded the same way.

    `timestamp` is the sensor's time in epoch seconds, whole microseconds: with the sensor it is the reading's identity.
    """

    sensor: Sensor
    timestamp: Time
    value: float


Row = tuple[int, float, float]
"""Sensor, timestamp and value: a reading or an average as a row, in the order of the tables' columns."""


class Aggregate(msgspec.Struct, gc=False, omit_defaults=True):
    """A record of `aggregated-data`: an average, or a repair.

    A repair names a reading too old for the aggregator's state. `repair` is the reading's offset in the partition of
    `processed-data` with the same number: once the loader has loaded up to it, the averages can be computed in SQL.
    `topic_id`: Kafka's id of that topic; None where Kafka has none.
    """

    sensor: Sensor
    timestamp: Time
    value: float | None = None
    repair: int | None = None
    topic_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why some bytes are not a reading, with the bytes as they came, for the dead letter."""

    reason: Reason
    detail: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """The times that are taken, from `time_min` to `future_tolerance_s` after `now`; epoch seconds."""

    now: float
    future_tolerance_s: float
    time_min: float

    @property
    def latest(self) -> float:
        """The newest time that is taken."""
        return self.now + self.future_tolerance_s

    def refusal(self, timestamp: float) -> tuple[Reason, str] | None:
        """Why a reading of this time is refused, as reason and detail; None when it is taken."""
        if self.time_min <= timestamp <= self.latest:
            return None
        if timestamp < self.time_min:
            lowest = datetime.fromtimestamp(self.time_min, UTC).isoformat().replace("+00:00", "Z")
            return "old", f"{timestamp:.15g} is before {lowest}, the earliest time that is taken"
        for unit, per_second in _SMALL_UNITS:
            if self.time_min <= timestamp / per_second <= self.latest:
                return "future", f"{timestamp:.0f} looks like {unit}; send seconds"
        return "future", f"{timestamp - self.now:.0f} s ahead of now"


#: A limit for times that takes every one, epoch seconds: infinity itself has no microseconds.
ANY_TIME = 1e300

#: What msgspec raises for bytes that a decoder cannot read.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

encode = msgspec.json.Encoder().encode
decode_reading = msgspec.json.Decoder(Reading).decode
decode_aggregate = msgspec.json.Decoder(Aggregate).decode


class _Payload(msgspec.Struct, gc=False):
    value: float | str
    timestamp: float | str


class _Numbers(msgspec.Struct, gc=False):
    value: float
    timestamp: float


_decode_payload = msgspec.json.Decoder(_Payload).decode
#: Also accepts JSON numbers in strings, including `"nan"` and `"inf"`.
_decode_numbers = msgspec.json.Decoder(_Numbers, strict=False).decode
_decode_raw_items = msgspec.json.Decoder(list[msgspec.Raw]).decode

# The whole text, ASCII only: float() would also accept "1_000", " 25 " and the digits of other alphabets
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})"
)

#: What a time that is too large may be counted in, and how much smaller than a second that is.
_SMALL_UNITS = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))


def micros(timestamp: float) -> int:
    """Epoch seconds as whole microseconds, the precision of a reading's identity."""
    return round(timestamp * 1_000_000)


def normalized(timestamp: float) -> float:
    """Epoch seconds on a whole microsecond: one float for one identity."""
    return micros(timestamp) / 1_000_000


def decode_plain(sensor: int, raw: bytes, earliest: float, latest: float) -> Reading | None:
    """The reading of the common payload, an object of just the two numbers or of numbers in strings.

    None: `decode_payload` must look closer.

    `earliest`, `latest`: the times that are taken, epoch seconds, both inclusive.
    """
    if raw.count(b":") != 2:  # both keys once, nothing beside them
        return None
    try:
        numbers = _decode_numbers(raw)
    except UNREADABLE:
        return None
    timestamp = numbers.timestamp
    if earliest <= timestamp <= latest and isfinite(numbers.value):
        return Reading(sensor, round(timestamp * 1_000_000) / 1_000_000, numbers.value + 0.0)
    return None


def decode_payload(
    sensor: int, payload: bytes, *, now: float, future_tolerance_s: float, time_min: float
) -> list[Reading | Rejected]:
    """The readings of one MQTT payload, in their order: one object, or an array of them.

    An object that cannot be used becomes a Rejected and does not affect the others. `now`, `time_min`: epoch seconds.
    """
    limits = TimeLimits(now, future_tolerance_s, time_min)
    if payload.lstrip()[:1] != b"[":
        return [_decode_object(sensor, payload, limits)]
    try:
        items = _decode_raw_items(payload)
    except UNREADABLE as problem:
        return [Rejected("json", _short(problem), payload)]
    if not items:
        return [Rejected("empty", "an empty array", payload)]
    return [_decode_object(sensor, bytes(item), limits) for item in items]


def _decode_object(sensor: int, raw: bytes, limits: TimeLimits) -> Reading | Rejected:
    plain = decode_plain(sensor, raw, limits.time_min, limits.latest)
    return _decode_unusual(sensor, raw, limits) if plain is None else plain


def _decode_unusual(sensor: int, raw: bytes, limits: TimeLimits) -> Reading | Rejected:
    if not raw:
        return Rejected("empty", "no payload", raw)
    if not raw.isascii():  # msgspec does not check the fields that it skips
        try:
            raw.decode()
        except UnicodeDecodeError as problem:
            return Rejected("json", _short(problem), raw)
    # msgspec keeps the last of two equal keys; with a backslash, a key can be spelled in another way
    if raw.count(b'"value"') != 1 or raw.count(b'"timestamp"') != 1 or b"\\" in raw:
        doubled = _check_keys(raw)
        if doubled is not None:
            return doubled
    try:
        payload = _decode_payload(raw)
    except msgspec.ValidationError as problem:
        return Rejected(_validation_reason(str(problem)), _short(problem), raw)
    except UNREADABLE as problem:
        return Rejected("json", _short(problem), raw)
    value = finite_number(payload.value)
    if value is None:
        return Rejected("value", f"not a finite number: {quoted(payload.value)}", raw)
    timestamp = epoch_seconds(payload.timestamp)
    if timestamp is None:
        return Rejected("time", f"neither epoch seconds nor an RFC 3339 time: {quoted(payload.timestamp)}", raw)
    wrong = limits.refusal(timestamp)
    if wrong is not None:
        return Rejected(*wrong, raw)
    return Reading(sensor, normalized(timestamp), value)


def _check_keys(raw: bytes) -> Rejected | None:
    """Checks an unusual object key by key: rejects `value` or `timestamp` when it occurs twice."""
    try:
        pairs = json.loads(raw, object_pairs_hook=list)
    except (ValueError, RecursionError) as problem:
        return Rejected("json", _short(problem), raw)
    if raw.lstrip()[:1] != b"{":
        return None  # not an object: the decoder rejects it
    for name in ("value", "timestamp"):
        if sum(key == name for key, _ in pairs) > 1:
            return Rejected("field", f"{name} more than once", raw)
    return None


def _validation_reason(problem: str) -> Reason:
    if "out of range" in problem:
        return "value" if "$.value" in problem else "time"
    return "field" if "$." in problem or "missing" in problem else "json"


def finite_number(given: float | str) -> float | None:
    """The number, or the number that a text is in plain decimal notation; None when it is neither, or not finite."""
    if isinstance(given, str) and _NUMBER.fullmatch(given) is None:
        return None
    try:
        number = float(given)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return number + 0.0 if isfinite(number) else None  # + 0.0: -0.0 and 0.0 are one value


def epoch_seconds(given: float | str, *, times_only: bool = False) -> float | None:
    """Epoch seconds of a number, a numeric string or an RFC 3339 string; None for anything else.

    `times_only`: of an RFC 3339 string alone.
    """
    if isinstance(given, str) and _RFC3339.fullmatch(given):
        try:
            return datetime.fromisoformat(given.upper()).timestamp()
        except (ValueError, OverflowError):
            return None
    return None if times_only else finite_number(given)


def _short(problem: Exception) -> str:
    return str(problem)[:200]


def quoted(value: object) -> str:
    """A value as a detail shows it, cut to 60 characters."""
    return repr(value)[:60]
