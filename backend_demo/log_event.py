"""One log event: a line of JSON in files, a short line for people; and the level of other programs' lines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from backend_demo.text import escaped

LEVELS = ("debug", "info", "warning", "error", "critical")

#: Reserved names: no event has a key of its own with one of these (`text` is the name of a whole raw line).
FIELDS = ("time", "level", "event", "service", "logger", "pid", "exception", "text")

Event = Mapping[str, Any]
"""An event as read from a line; it has at least `time` (RFC 3339, UTC), `level` and `event`."""

Part = tuple[str, str]
"""A piece of text and its style, by rich's name for it."""

_STYLES = {"debug": "dim", "info": "green", "warning": "yellow", "error": "bold red", "critical": "bold red"}

#: Notations of a level, ours and each server's, after the time at the beginning of a line.
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
    """Formats epoch seconds as in events: `2026-11-24T12:00:00.250Z`."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(event: Event) -> str:
    """Formats the event as one line of JSON. Values that JSON cannot hold are written as text."""
    try:
        return _dumps(event, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # deep inside: a key of an odd type, NaN, a reference to itself
        return _dumps({name: value if isinstance(value, str | int) else str(value) for name, value in event.items()})


def from_json(line: str) -> Event | None:
    """Parses a line; None when it is not one of our events or was cut off."""
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
    """Returns the level of a line, one of LEVELS; None when it has none, as the second line of a traceback."""
    if line[:1].isspace():
        return None
    for match in _LEVEL.finditer(line, 0, _LEVEL_WITHIN):
        if level := _WORDS.get(match[match.lastindex or 0].lower()):
            return level
    return None


def summary(event: Event) -> str:
    """Formats the event and its own keys: `ready partitions=8`."""
    return "".join(text for text, _ in _summary(event))


def readable(line: str, *, today: str = "") -> list[list[Part]]:
    """Formats a log line for people: one line, or several with a traceback. Another program's line is only escaped.

    `today`: the date to leave out.
    """
    event = from_json(line)
    return [[(_escaped(line), "")]] if event is None else short(event, today=today)


def short(event: Event, *, today: str = "") -> list[list[Part]]:
    """Formats time, level, event and keys; then the rest of the event and the traceback, line by line."""
    date, _, clock = event["time"].partition("T")
    level, rest = event["level"], [*event["event"].splitlines()[1:], *str(event.get("exception", "")).splitlines()]
    time = clock if date == today else f"{date} {clock}"
    head = [(_escaped(f"{time} "), "dim"), (_escaped(f"{level:7} "), _STYLES.get(level, "")), *_summary(event)]
    return [head, *([(f"    {_escaped(text)}", "dim")] for text in rest)]


def _summary(event: Event) -> Sequence[Part]:
    first = (event["event"].splitlines() or [""])[0]
    keys = {name: value for name, value in event.items() if name not in FIELDS}
    if not str(event.get("logger", "backend_demo")).startswith("backend_demo"):
        keys["logger"] = event["logger"]
    return [
        (_escaped(first), ""),
        *((_escaped(f" {name}={_value(keys[name])}"), "cyan") for name in keys),
    ]


def _value(value: object) -> str:
    if not isinstance(value, str):
        return _dumps(value)
    return value if value and value.isprintable() and not re.search(r'[\s"=]', value) else _dumps(value)


def _dumps(value: object, *, allow_nan: bool = True) -> str:
    dumps = partial(json.dumps, value, separators=(",", ":"), default=str, allow_nan=allow_nan)
    text = dumps(ensure_ascii=False)
    return text if text.isprintable() else dumps()  # escapes Unicode's line separators and lone surrogates


def _escaped(text: str) -> str:
    """Escapes control characters, which could move the cursor or change colours."""
    return escaped(text, keep="\t")
