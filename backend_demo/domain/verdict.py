"""Compares a ledger with the tables: what was lost, doubled, altered or invented, and which averages are wrong."""

from __future__ import annotations

import math
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import msgspec

from backend_demo.domain.average import average
from backend_demo.domain.reading import ANY_TIME, Reading, decode_payload, decode_reading, normalized
from backend_demo.domain.topics import sensor_of

EntryState = Literal["sent", "acked", "failed"]


class Entry(msgspec.Struct, gc=False):
    """A line of a ledger: the state of one reading. A later line about the same reading replaces it."""

    sensor: int
    timestamp: float
    value: float
    state: EntryState


decode_entry = msgspec.json.Decoder(Entry).decode


class StoredIdentity(NamedTuple):
    """The values that the tables hold for one identity; None where a table has no row."""

    sensor: int
    timestamp: float
    value: float | None
    average: float | None


class Finding(NamedTuple):
    """One thing that is wrong."""

    sensor: int
    timestamp: float
    expected: float | None
    found: float | None


#: Number of examples kept per kind of finding.
EXAMPLES = 5


@dataclass
class Findings:
    """All findings of one kind: how many, of which sensors, and the first few."""

    count: int = 0
    sensors: Counter[int] = field(default_factory=Counter)
    examples: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Counts a finding; keeps the first few as examples."""
        self.count += 1
        self.sensors[finding.sensor] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(finding)


@dataclass
class Verdict:
    """The result of a comparison. `lost` to `invented` need a ledger."""

    ledger: int | None = None
    """Readings in the ledger; None without a ledger."""
    acked: int | None = None
    """Readings of the ledger that the broker has acknowledged."""
    readings: int = 0
    """Rows of `temperature` that were compared."""
    averages: int = 0
    """Rows of `average` that were compared."""
    dead_letters: int = 0
    """Readings of the ledger that were refused and are in `dead-letter`."""
    of_others: int = 0
    """Readings that others have sent for the ledger's sensors, within its times."""
    lost: Findings = field(default_factory=Findings)
    """Acknowledged, but neither in `temperature` nor refused."""
    last_seen: dict[str, int] = field(default_factory=dict)
    """Lost readings, by the last topic that has them; "" for those that no topic has."""
    doubled: Findings = field(default_factory=Findings)
    """More than one row for one identity."""
    altered: Findings = field(default_factory=Findings)
    """Stored with a value other than the one sent."""
    invented: Findings = field(default_factory=Findings)
    """Stored but never sent by anybody, within the ledger's sensors and times."""
    average_missing: Findings = field(default_factory=Findings)
    """A reading without its average."""
    average_wrong: Findings = field(default_factory=Findings)
    """Not the mean of its reading and the ones before it."""
    average_orphaned: Findings = field(default_factory=Findings)
    """An average without its reading."""

    @property
    def findings(self) -> dict[str, Findings]:
        """All kinds of findings, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Findings)}

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not any(findings.count for findings in self.findings.values())


_SENT, _ACKED = 0, 1


class Expected:
    """The readings of a ledger, at 17 bytes a line: a million of them take 17 MB."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._lines: dict[int, tuple[array[float], array[float], bytearray]] = {}
        self.first, self.last = math.inf, -math.inf
        for entry in entries:
            lines = self._lines.get(entry.sensor)
            if lines is None:
                lines = self._lines[entry.sensor] = (array("d"), array("d"), bytearray())
            timestamp = normalized(entry.timestamp)
            lines[0].append(timestamp)
            lines[1].append(entry.value)
            lines[2].append(_ACKED if entry.state == "acked" else _SENT)
            if timestamp < self.first:
                self.first = timestamp
            if timestamp > self.last:
                self.last = timestamp

    @property
    def sensors(self) -> list[int]:
        """The sensors, ascending."""
        return sorted(self._lines)

    def of(self, sensor: int) -> dict[float, tuple[float, bool]]:
        """The sensor's readings by time: the value, and whether it was acknowledged."""
        readings: dict[float, tuple[float, bool]] = {}
        for timestamp, value, state in zip(*self._lines.get(sensor, ((), (), ())), strict=True):
            known = readings.get(timestamp)
            readings[timestamp] = (value, state == _ACKED or (known is not None and known[1]))
        return readings

    @cached_property
    def counts(self) -> tuple[int, int]:
        """The number of readings, and of those acknowledged."""
        readings = acked = 0
        for sensor in self._lines:
            of = self.of(sensor)
            readings += len(of)
            acked += sum(was_acked for _, was_acked in of.values())
        return readings, acked


class Judge:
    """Compares row by row. Rows arrive by sensor, and for each sensor in the order of their times."""

    def __init__(
        self,
        expected: Expected,
        refused: Iterable[tuple[int, float]],
        *,
        window: int,
        of_others: Set[tuple[int, float]] = frozenset(),
    ) -> None:
        """`refused`: identities found in `dead-letter`; `of_others`: those that others have sent to the same sensors.

        `window`: readings in an average.
        """
        readings, acked = expected.counts
        self._verdict = Verdict(ledger=readings, acked=acked)
        self._expected = expected
        self._refused: dict[int, set[float]] = {}
        for sensor, timestamp in refused:
            self._refused.setdefault(sensor, set()).add(timestamp)
        self._window = window
        self._waiting = set(expected.sensors)
        """Sensors whose rows have not arrived yet."""
        self.lost: set[tuple[int, float]] = set()
        """Identities of the lost readings."""
        self.invented: set[tuple[int, float]] = set()
        """Identities of those that nobody has sent."""
        self._of_others = of_others
        self._sensor: int | None = None
        self._missing: dict[float, tuple[float, bool]] = {}
        """Readings of the current sensor whose rows have not arrived yet."""
        self._refused_now: set[float] = set()
        """Times of the current sensor's readings that were refused."""
        self._previous: float | None = None
        self._newest: deque[float] = deque(maxlen=window)

    def see(self, row: StoredIdentity) -> None:
        """Takes the next row."""
        if row.sensor != self._sensor:
            self._end_sensor()
            self._begin_sensor(row.sensor)
        verdict = self._verdict
        verdict.readings += row.value is not None
        verdict.averages += row.average is not None
        if row.timestamp == self._previous:
            verdict.doubled.add(Finding(row.sensor, row.timestamp, None, row.value))
            return
        self._previous = row.timestamp
        if row.value is None:
            verdict.average_orphaned.add(Finding(row.sensor, row.timestamp, None, row.average))
            return
        self._match(row.sensor, row.timestamp, row.value)
        self._newest.append(row.value)
        # Exact: the pipeline computes every average, repairs too, with this function over values in this order
        mean = average(tuple(self._newest))
        if row.average is None:
            verdict.average_missing.add(Finding(row.sensor, row.timestamp, mean, None))
        elif row.average != mean:
            verdict.average_wrong.add(Finding(row.sensor, row.timestamp, mean, row.average))

    def end(self) -> Verdict:
        """Returns the verdict, after the last row."""
        self._end_sensor()
        for sensor in sorted(self._waiting):
            self._begin_sensor(sensor)
            self._end_sensor()
        return self._verdict

    def _begin_sensor(self, sensor: int) -> None:
        self._waiting.discard(sensor)
        self._sensor, self._previous = sensor, None
        self._missing = self._expected.of(sensor)
        self._refused_now = self._refused.get(sensor, set())
        self._newest.clear()

    def _end_sensor(self) -> None:
        """Judges the readings without a row: each was refused, or never acknowledged, or is lost."""
        if self._sensor is None:
            return
        for timestamp, (value, acked) in sorted(self._missing.items()):
            if timestamp in self._refused_now:
                self._verdict.dead_letters += 1
            elif acked:
                self._verdict.lost.add(Finding(self._sensor, timestamp, value, None))
                self.lost.add((self._sensor, timestamp))
        self._sensor = None

    def _match(self, sensor: int, timestamp: float, value: float) -> None:
        sent = self._missing.pop(timestamp, None)
        if sent is not None:
            if sent[0] == value:
                return
            if timestamp in self._refused_now:  # it conflicts with an earlier reading
                self._verdict.dead_letters += 1
            else:
                self._verdict.altered.add(Finding(sensor, timestamp, sent[0], value))
        elif self._expected.first <= timestamp <= self._expected.last:
            if (sensor, timestamp) in self._of_others:
                self._verdict.of_others += 1
            else:
                self._verdict.invented.add(Finding(sensor, timestamp, None, value))
                self.invented.add((sensor, timestamp))


def judge(
    entries: Iterable[Entry],
    rows: Iterable[StoredIdentity],
    refused: Iterable[tuple[int, float]] = (),
    *,
    window: int,
    of_others: Set[tuple[int, float]] = frozenset(),
) -> Verdict:
    """Compares a ledger with all rows of its sensors, which come in the order of sensor and time."""
    judge = Judge(Expected(entries), refused, window=window, of_others=of_others)
    for row in rows:
        judge.see(row)
    return judge.end()


def identities(key: bytes | None, raw: bytes | None) -> list[tuple[int, float]]:
    """The identities of the readings in a record of any topic, dead letters too; empty when its bytes hold none.

    `raw`: a record of a later topic; or, with the MQTT topic as `key`, a sensor's payload or an element of it.
    """
    if raw is None:
        return []
    try:
        reading = decode_reading(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        sensor = None if key is None else sensor_of(key.decode(errors="replace"))
        if sensor is None:
            return []
        found = decode_payload(sensor, raw, now=ANY_TIME, future_tolerance_s=0, time_min=0)
        return [(reading.sensor, reading.timestamp) for reading in found if isinstance(reading, Reading)]
    return [(reading.sensor, normalized(reading.timestamp))]
