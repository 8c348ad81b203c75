"""A reading: its identity, its forms on the wire, and why something is none (`Rejected`)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Annotated, Literal

import msgspec

from backend_demo.domain.topics import SENSOR_MAX

Reason = Literal[
    "topic",  # the MQTT topic names no sensor
    "key",  # the record has no key, or not the key of its reading
    "empty",  # no payload, or an array without readings
    "size",  # larger than the limit
    "json",  # no JSON object, or array of objects
    "field",  # value or timestamp is missing, twice there, or of a wrong type
    "value",  # not a finite number
    "range",  # outside the plausible range
    "time",  # the timestamp is no time between 1970 and now
    "future",  # the timestamp lies ahead of now
    "conflict",  # another value was stored under this identity before
]


Sensor = Annotated[int, msgspec.Meta(ge=0, le=SENSOR_MAX)]
"""A sensor's number."""

Time = Annotated[float, msgspec.Meta(ge=0)]
"""A sensor's time: epoch seconds, whole microseconds."""


class Reading(msgspec.Struct, gc=False):
    """One temperature of one sensor, as it travels from `src-data` on; an average has the same form.

    `timestamp` is the sensor's time in epoch seconds, whole microseconds: with the sensor it is the reading's identity.
    """

    sensor: Sensor
    timestamp: Time
    value: float


class Aggregate(msgspec.Struct, gc=False, omit_defaults=True):
    """A record of `aggregated-data`: an average, or a repair.

    A repair names a reading too old for the aggregator's state. `repair` is the reading's offset in the partition of
    `processed-data` with the same number: once the loader has loaded up to it, the averages can be computed in SQL.
    """

    sensor: Sensor
    timestamp: Time
    value: float | None = None
    repair: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why some bytes are no reading; the bytes as they came, for the dead letter."""

    reason: Reason
    detail: str
    raw: bytes


#: What msgspec raises for bytes that are not what a decoder takes.
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
#: Also takes JSON numbers in strings, `"nan"` and `"inf"` among them.
_decode_numbers = msgspec.json.Decoder(_Numbers, strict=False).decode
_decode_raw_items = msgspec.json.Decoder(list[msgspec.Raw]).decode

# ASCII only and whole: float() would also take "1_000", " 25 " and other alphabets' digits
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def micros(timestamp: float) -> int:
    """Epoch seconds as whole microseconds, the precision of a reading's identity."""
    return round(timestamp * 1_000_000)


def normalized(timestamp: float) -> float:
    """Epoch seconds on a whole microsecond: one float for one identity."""
    return micros(timestamp) / 1_000_000


def decode_plain(sensor: int, raw: bytes, latest: float) -> Reading | None:
    """The reading of the common payload, an object of just the two numbers or of numbers in strings.

    None: `decode_payload` must look closer.

    `latest`: the newest time that is taken, epoch seconds.
    """
    if raw.count(b":") != 2:  # both keys once, nothing beside them
        return None
    try:
        numbers = _decode_numbers(raw)
    except UNREADABLE:
        return None
    timestamp = numbers.timestamp
    if 0 <= timestamp <= latest and isfinite(numbers.value):
        return Reading(sensor, round(timestamp * 1_000_000) / 1_000_000, numbers.value + 0.0)
    return None


def decode_payload(sensor: int, payload: bytes, *, now: float, future_tolerance_s: float) -> list[Reading | Rejected]:
    """The readings of one MQTT payload, in their order: one object, or an array of them.

    What cannot be used comes as Rejected and disturbs nothing beside it. `now`: epoch seconds.
    """
    if payload.lstrip()[:1] != b"[":
        return [_decode_object(sensor, payload, now, future_tolerance_s)]
    try:
        items = _decode_raw_items(payload)
    except UNREADABLE as problem:
        return [Rejected("json", _short(problem), payload)]
    if not items:
        return [Rejected("empty", "an array without readings", payload)]
    return [_decode_object(sensor, bytes(item), now, future_tolerance_s) for item in items]


def _decode_object(sensor: int, raw: bytes, now: float, future_tolerance_s: float) -> Reading | Rejected:
    plain = decode_plain(sensor, raw, now + future_tolerance_s)
    return _decode_unusual(sensor, raw, now, future_tolerance_s) if plain is None else plain


def _decode_unusual(sensor: int, raw: bytes, now: float, future_tolerance_s: float) -> Reading | Rejected:
    if not raw:
        return Rejected("empty", "no payload", raw)
    if not raw.isascii():  # msgspec does not look into the fields that it skips
        try:
            raw.decode()
        except UnicodeDecodeError as problem:
            return Rejected("json", _short(problem), raw)
    # msgspec keeps the last of two equal keys; a backslash may spell a key in a second way
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
    value = _number(payload.value)
    if value is None:
        return Rejected("value", f"not a finite number: {_quoted(payload.value)}", raw)
    timestamp = epoch_seconds(payload.timestamp)
    if timestamp is None or timestamp < 0:
        return Rejected("time", f"no epoch seconds and no RFC 3339 time: {_quoted(payload.timestamp)}", raw)
    if timestamp > now + future_tolerance_s:
        return Rejected("future", f"{timestamp - now:.0f} s ahead of now", raw)
    return Reading(sensor, normalized(timestamp), value)


def _check_keys(raw: bytes) -> Rejected | None:
    """Looks at an unusual object key by key: refuses `value` or `timestamp` when it is there twice."""
    try:
        pairs = json.loads(raw, object_pairs_hook=list)
    except (ValueError, RecursionError) as problem:
        return Rejected("json", _short(problem), raw)
    if raw.lstrip()[:1] != b"{":
        return None  # no object at all: the decoder says so
    for name in ("value", "timestamp"):
        if sum(key == name for key, _ in pairs) > 1:
            return Rejected("field", f"{name} more than once", raw)
    return None


def _validation_reason(problem: str) -> Reason:
    if "out of range" in problem:
        return "value" if "$.value" in problem else "time"
    return "field" if "$." in problem or "missing" in problem else "json"


def _number(given: float | str) -> float | None:
    if isinstance(given, str):
        if _NUMBER.fullmatch(given) is None:
            return None
        given = float(given)
    return given + 0.0 if isfinite(given) else None  # + 0.0: -0.0 and 0.0 are one value


def epoch_seconds(given: float | str) -> float | None:
    """The time that a number, a numeric string or an RFC 3339 string tells; None when it tells none."""
    if isinstance(given, str) and _RFC3339.fullmatch(given):
        try:
            return datetime.fromisoformat(given.upper()).timestamp()
        except (ValueError, OverflowError):
            return None
    return _number(given)


def _short(problem: Exception) -> str:
    return str(problem)[:200]


def _quoted(value: object) -> str:
    return repr(value)[:60]
