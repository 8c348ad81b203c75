"""One event of a log: a line of JSON in files, a short line for people; and what other programs' lines tell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

LEVELS = ("debug", "info", "warning", "error", "critical")

#: What an event may have beside keys of its own: no key is called like one of these (`text` is a whole line's).
FIELDS = ("time", "level", "event", "service", "logger", "pid", "exception", "text")

Event = Mapping[str, Any]
"""As read from a line: `time` (RFC 3339, UTC), `level` and `event` at least."""

Part = tuple[str, str]
"""Some text and its style, as rich names it."""

_STYLES = {"debug": "dim", "info": "green", "warning": "yellow", "error": "bold red", "critical": "bold red"}

#: How our own events and each server say how serious a line is, behind the time at its beginning.
_LEVEL = re.compile(r'"level":"(\w+)"|\b(?:level|lvl)=(\w+)|\[(\w+) *\]|\b([A-Z]{3,9})\b|^(error:|Traceback|Fatal)')
_LEVEL_WITHIN = 120
_WORDS = {
    **dict.fromkeys(("trace", "debug", "trc", "dbg"), "debug"),
    **dict.fromkeys(("info", "inf", "log", "notice"), "info"),
    **dict.fromkeys(("warn", "warning", "wrn"), "warning"),
    **dict.fromkeys(("error", "err", "error:", "traceback"), "error"),
    **dict.fromkeys(("critical", "crit", "fatal", "ftl", "panic"), "critical"),
}


def time_text(timestamp: float) -> str:
    """Epoch seconds as events have them: `2026-11-24T12:00:00.250Z`."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(event: Event) -> str:
    """The event as one line. What JSON has no form for is written as text."""
    try:
        return _dumps(event, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # deep inside of it: an odd key, no number, a circle
        return _dumps({name: value if isinstance(value, str | int) else str(value) for name, value in event.items()})


def from_json(line: str) -> Event | None:
    """The event of a line; None when the line is not one of ours, or cut off."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if all(isinstance(found.get(field), str) for field in ("time", "level", "event")):
        return {str(name): value for name, value in found.items()}
    return None


def level_of(line: str) -> str | None:
    """One of LEVELS; None when the line does not say (the second line of a traceback)."""
    if line[:1].isspace():
        return None
    for match in _LEVEL.finditer(line, 0, _LEVEL_WITHIN):
        if level := _WORDS.get(match[match.lastindex or 0].lower()):
            return level
    return None


def summary(event: Event) -> str:
    """The event and its own keys: `ready partitions=8`."""
    return "".join(text for text, _ in _summary(event))


def readable(line: str, *, today: str = "") -> list[list[Part]]:
    """A line of a log as people read it: one or, with a traceback, more lines; of another program, as it is.

    `today`: a date that need not be said.
    """
    event = from_json(line)
    return [[(line, "")]] if event is None else short(event, today=today)


def short(event: Event, *, today: str = "") -> list[list[Part]]:
    """Time, level, event and keys; then the rest of an event or a traceback, each line of it."""
    date, _, clock = event["time"].partition("T")
    level, rest = event["level"], [*event["event"].splitlines()[1:], *str(event.get("exception", "")).splitlines()]
    time = clock if date == today else f"{date} {clock}"
    head = [(f"{time} ", "dim"), (f"{level:7} ", _STYLES.get(level, "")), *_summary(event)]
    return [head, *([(f"    {_printable(text)}", "dim")] for text in rest)]


def _summary(event: Event) -> Sequence[Part]:
    first = (event["event"].splitlines() or [""])[0]
    keys = {name: value for name, value in event.items() if name not in FIELDS}
    if not str(event.get("logger", "backend_demo")).startswith("backend_demo"):
        keys["logger"] = event["logger"]
    return [(_printable(first), ""), *((_printable(f" {name}={_value(keys[name])}"), "cyan") for name in keys)]


def _value(value: object) -> str:
    if not isinstance(value, str):
        return _dumps(value)
    return value if value and value.isprintable() and not re.search(r'[\s"=]', value) else _dumps(value)


def _dumps(value: object, *, allow_nan: bool = True) -> str:
    dumps = partial(json.dumps, value, separators=(",", ":"), default=str, allow_nan=allow_nan)
    text = dumps(ensure_ascii=False)
    return text if text.isprintable() else dumps()  # not with line separators of Unicode's, or half a character


def _printable(text: str) -> str:
    """Without control characters, which would move the cursor or colour what follows."""
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in text)
