"""What the commands of `bdemo dlq` print with `-o json`, and a dead letter with its key and its whole payload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal

from backend_demo.cli.tail.documents import text_or_base64
from backend_demo.described import described
from backend_demo.domain.dead_letter import RAW_MAX
from backend_demo.domain.letter_mark import ReplayedReading
from backend_demo.operations.dead_letters.letter_log import Letter
from backend_demo.operations.dead_letters.refused import Refused, refused
from backend_demo.operations.dead_letters.replay import LetterReplay


@described
@dataclass(frozen=True, slots=True)
class WholeLetter(Refused):
    """A dead letter; its payload is whole, unless it was cut when it was refused (`truncated`)."""

    key: str | dict[str, str] | None
    """The key of the refused record, or its MQTT topic; {"base64": "..."}: it is not UTF-8."""


@dataclass(frozen=True, kw_only=True)
class ListedLetters:
    """Dead letters as JSON, newest first."""

    schema: Literal["bdemo.dlq.ls/1"] = "bdemo.dlq.ls/1"
    total: int
    """All dead letters that Kafka has, in any state."""
    truncated: bool
    """There are older ones."""
    dead_letters: Sequence[Refused]


@dataclass(frozen=True, kw_only=True)
class ShownLetter:
    """A dead letter as JSON."""

    schema: Literal["bdemo.dlq.show/1"] = "bdemo.dlq.show/1"
    dead_letter: WholeLetter


@dataclass(frozen=True, kw_only=True)
class ReplayResult:
    """A replay as JSON."""

    schema: Literal["bdemo.dlq.replay/1"] = "bdemo.dlq.replay/1"
    dry_run: bool
    """Nothing was sent: the outcomes are those that there would be."""
    replayed: int
    finished: int
    refused: int
    skipped: int
    dead_letters: Sequence[LetterReplay]


@dataclass(frozen=True, kw_only=True)
class PurgeResult:
    """A purge as JSON."""

    schema: Literal["bdemo.dlq.purge/1"] = "bdemo.dlq.purge/1"
    dry_run: bool
    how: Literal["deleted", "dismissed"]
    """`deleted`: gone from Kafka; `dismissed`: marked, and left out by `bdemo dlq ls` and `replay`."""
    count: int


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
