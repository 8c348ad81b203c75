"""Durations and times, as people write them on the command line. Errors name the option they belong to."""

from __future__ import annotations

import re
from datetime import datetime

from backend_demo.errors import UsageError
from backend_demo.text import seconds_of

#: Longest duration, seconds (a century): beyond it, sleeps and calendars overflow.
LONGEST_S = 36_525 * 86_400.0
#: First second of the year 10000, which RFC 3339 cannot express.
_END_S = 253_402_300_800.0

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)


def duration_s(text: str, option: str = "") -> float:
    """Returns the seconds, more than 0, of `90`, `1.5h`, `5m`, `1h30m`, `250ms`. Raises UsageError."""
    given = text.strip()
    seconds = float(given) if _NUMBER.fullmatch(given) else seconds_of(given)
    if seconds is None:
        raise _invalid("duration", text, option, hint="write seconds, or units: 90, 5m, 1h30m, 2d")
    if not 0 < seconds <= LONGEST_S:
        raise _invalid("duration", text, option, hint="it must be longer than 0 and at most a century")
    return seconds


def point_in_time(text: str, now: float, option: str = "") -> float:
    """Returns the epoch seconds of `now`, of `5m` (that long before `now`), of an RFC 3339 time, of epoch seconds.

    A time without an offset is local; a date alone is its first moment; a bare number is always epoch seconds.
    Times before 1970 become 0. Raises UsageError.
    """
    given = text.strip()
    if given == "now":
        return now
    if _NUMBER.fullmatch(given):
        moment = float(given)
    elif _RFC3339.fullmatch(given):
        moment = _calendar(text, option)
    elif seconds_of(given) is not None:
        moment = max(0.0, now - duration_s(text, option))
    else:
        hint = "write how long ago (5m, 1h30m), a time (2026-11-24T10:00:00Z) or epoch seconds"
        raise _invalid("time", text, option, hint=hint)
    if not 0 <= moment < _END_S:
        raise _invalid("time", text, option, hint="it must be in the years 1970 to 9999")
    return moment


def _calendar(text: str, option: str) -> float:
    try:
        return datetime.fromisoformat(text.strip().upper()).timestamp()
    except (ValueError, OverflowError) as problem:
        raise _invalid("time", text, option, hint="there is no such date or time of day") from problem


def _invalid(kind: str, text: str, option: str, *, hint: str) -> UsageError:
    value = repr(text if len(text) <= 60 else f"{text[:60]}...")
    return UsageError(f"{option}: invalid {kind} {value}" if option else f"invalid {kind} {value}", hint=hint)
