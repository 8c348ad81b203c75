"""Durations and points in time, as a person writes them on the command line."""

from __future__ import annotations

import re
from datetime import datetime

from backend_demo.errors import UsageError

#: Longest duration, seconds (a century): beyond it, sleeps and calendars overflow.
LONGEST_S = 36_525 * 86_400.0
#: First second of the year 10000, after which RFC 3339 has no name for a time.
_END_S = 253_402_300_800.0

_UNITS_S = {"w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_AMOUNT = r"[0-9]+(?:\.[0-9]+)?"
_NUMBER = re.compile(_AMOUNT)
# each unit at most once, larger ones first
_DURATION = re.compile("".join(f"(?:({_AMOUNT}){unit})?" for unit in _UNITS_S))
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)


def duration_s(text: str) -> float:
    """Seconds, more than 0, of `90`, `1.5h`, `5m`, `1h30m`, `250ms`. Raises UsageError."""
    given = text.strip()
    seconds = float(given) if _NUMBER.fullmatch(given) else _sum_of_units(given)
    if seconds is None:
        raise UsageError(f"no duration: {_quoted(text)}", hint="write seconds or units: 90, 5m, 1h30m, 2d")
    if not 0 < seconds <= LONGEST_S:
        raise UsageError(
            f"duration out of bounds: {_quoted(text)}", hint="it must be longer than 0 and at most a century"
        )
    return seconds


def point_in_time(text: str, now: float) -> float:
    """Epoch seconds of `now`, of `5m` or `1h30m` (that long before `now`), of an RFC 3339 time, of epoch seconds.

    A time without an offset is local; a date alone is its first moment; a bare number is always epoch seconds.
    What would lie before 1970 is 0. Raises UsageError.
    """
    given = text.strip()
    if given == "now":
        return now
    if _NUMBER.fullmatch(given):
        moment = float(given)
    elif _RFC3339.fullmatch(given):
        moment = _calendar(text)
    elif _sum_of_units(given) is not None:
        moment = max(0.0, now - duration_s(text))
    else:
        raise UsageError(
            f"no point in time: {_quoted(text)}",
            hint="write how long ago (5m, 1h30m), a time (2026-11-24T10:00:00Z) or epoch seconds",
        )
    if not 0 <= moment < _END_S:
        raise UsageError(f"time out of bounds: {_quoted(text)}", hint="it must lie in the years 1970 to 9999")
    return moment


def _sum_of_units(given: str) -> float | None:
    match = _DURATION.fullmatch(given)
    if match is None or not given:
        return None
    return sum(float(amount) * unit for amount, unit in zip(match.groups(), _UNITS_S.values(), strict=True) if amount)


def _calendar(text: str) -> float:
    try:
        return datetime.fromisoformat(text.strip().upper()).timestamp()
    except (ValueError, OverflowError) as problem:
        raise UsageError(f"no such time: {_quoted(text)}", hint="the calendar has none like it") from problem


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
