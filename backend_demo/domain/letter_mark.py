"""What became of a dead letter: marks, which stand in a topic of their own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from backend_demo.domain.reading import UNREADABLE

LetterState = Literal["open", "unfinished", "replayed", "dismissed"]
"""`unfinished`: a replay was begun, and nobody knows whether its readings arrived. `open` has no mark."""

LetterId = tuple[int, int]
"""Partition and offset of a dead letter."""


@dataclass(frozen=True, slots=True)
class ReplayedReading:
    """A reading as it is sent again; `sensor` is a name, or a number in decimal digits."""

    sensor: str
    timestamp: float
    value: float


class LetterMark(msgspec.Struct, frozen=True):
    """One mark. It stands in the partition with the number of the letter's own."""

    offset: int
    """The letter's offset."""
    letter_ms: int
    """The letter's time, epoch milliseconds: a topic that is made again has the same offsets for other letters."""
    state: LetterState
    readings: Sequence[ReplayedReading] = ()
    """Of a replay: what it sends."""

    def key(self, partition: int) -> bytes:
        """The Kafka record's key."""
        return b"%d:%d" % (partition, self.offset)

    def value(self) -> bytes:
        """The Kafka record's value."""
        return msgspec.json.encode(self)


class Standing(NamedTuple):
    """How a dead letter stands, and since when (epoch seconds)."""

    state: LetterState
    since: float | None
    readings: Sequence[ReplayedReading] = ()


OPEN = Standing("open", None)

_decode = msgspec.json.Decoder(LetterMark).decode


def read_mark(value: bytes | None) -> LetterMark | None:
    """The mark in a record; None if it cannot be read."""
    try:
        return _decode(value or b"")
    except UNREADABLE:
        return None


class Marks:
    """The standing of every dead letter, from its marks in the order of their offsets.

    A replay that was begun cannot be replaced by another one: its readings may be in the pipeline already. So of two
    that begin at the same time the first in the log counts, and both see that.
    """

    def __init__(self) -> None:
        self._standings: dict[tuple[int, int, int], Standing] = {}

    def add(self, partition: int, value: bytes | None, when: float | None) -> None:
        """Takes the next mark of a partition."""
        mark = read_mark(value)
        if mark is None:
            return
        identity = partition, mark.offset, mark.letter_ms
        known = self._standings.get(identity, OPEN)
        if mark.state == "replayed":
            if known.state != "replayed":
                self._standings[identity] = Standing("replayed", when, mark.readings)
        elif known.state in ("open", "dismissed"):
            self._standings[identity] = Standing(mark.state, when, mark.readings)

    def of(self, letter: LetterId, letter_ms: int) -> Standing:
        """How this dead letter stands."""
        return self._standings.get((*letter, letter_ms), OPEN)


def first_needed(marks: Iterable[tuple[int, LetterMark | None]], begin: int) -> int | None:
    """The offset of the first mark whose letter is at or after `begin`; None: all are of letters that are gone.

    `marks`: the marks of one partition with their offsets, in order.
    """
    return next((offset for offset, mark in marks if mark is not None and mark.offset >= begin), None)
