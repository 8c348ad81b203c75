"""A dead letter with its key and its whole payload."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from backend_demo.cli.tail.documents import text_or_base64
from backend_demo.described import described
from backend_demo.domain.dead_letter import RAW_MAX
from backend_demo.domain.letter_mark import ReplayedReading
from backend_demo.operations.dead_letters.letter_log import Letter
from backend_demo.operations.dead_letters.refused import Refused, refused


@described
@dataclass(frozen=True, slots=True)
class WholeLetter(Refused):
    """A dead letter; its payload is whole, unless it was cut when it was refused (`truncated`)."""

    key: str | dict[str, str] | None
    """The key of the refused record, or its MQTT topic; {"base64": "..."}: it is not UTF-8."""


def whole(letter: Letter) -> WholeLetter:
    """The dead letter in full."""
    found = refused(letter.record, letter.standing, payload_max=RAW_MAX)
    values = {field.name: getattr(found, field.name) for field in fields(Refused)}
    return WholeLetter(**values, key=text_or_base64(letter.record.key))


def reading_text(reading: ReplayedReading) -> str:
    """A reading on one line, with local time."""
    try:
        when = datetime.fromtimestamp(reading.timestamp).astimezone().isoformat(" ", "milliseconds")
    except (ValueError, OverflowError, OSError):
        when = repr(reading.timestamp)
    return f"sensor {reading.sensor}: {reading.value:.15g} at {when}"
