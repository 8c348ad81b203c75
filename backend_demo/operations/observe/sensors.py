"""The newest reading of each sensor, and its values before: one per look."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backend_demo.domain.names import name_problem, number_of
from backend_demo.domain.reading import Reading
from backend_demo.errors import UsageError

#: Values kept of a sensor: as many as a sparkline can be long.
VALUES = 120
#: Sensors whose values are kept; of all others only the newest is known.
SENSORS = 1000


@dataclass(frozen=True)
class SensorView:
    """One sensor: its newest reading, and its last values, the newest one last."""

    sensor: int
    timestamp: float
    """The sensor's time, epoch seconds."""
    value: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class SensorRanges:
    """Ranges of sensor numbers; empty: all sensors."""

    ranges: tuple[tuple[int, int], ...] = ()

    names: tuple[tuple[int, str], ...] = ()
    """What was typed for the numbers that stand for a name."""

    def __contains__(self, sensor: int) -> bool:
        return not self.ranges or any(first <= sensor <= last for first, last in self.ranges)

    def __str__(self) -> str:
        typed = dict(self.names)
        return ", ".join(
            typed.get(first, str(first)) if first == last else f"{first}-{last}" for first, last in self.ranges
        )


def parse_sensors(text: str) -> SensorRanges:
    """Parses `7`, `1-20` or `3, 5, 10-12, kitchen`; an empty text means all. Raises UsageError."""
    ranges, names = [], []
    for word in re.sub(r"\s*-\s*", "-", text).replace(",", " ").split():
        match = re.fullmatch(r"([0-9]{1,19})(?:-([0-9]{1,19}))?", word, re.ASCII)
        if match is None and any(map(str.isalpha, word)) and name_problem(word) is None:
            ranges.append((number_of(word), number_of(word)))
            names.append((number_of(word), word))
            continue
        if match is None:
            raise UsageError(f"invalid sensor {word[:30]!r}", hint="write 7, or 1-20, or 3, 5, kitchen")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise UsageError(f"{word[:30]}: the first number is the larger one", hint=f"write {last}-{first}")
        ranges.append((first, last))
    return SensorRanges(tuple(ranges), tuple(names))


class SensorHistory:
    """What was seen of the selected sensors, by sensor; the selection can change."""

    def __init__(self) -> None:
        self.selection = SensorRanges()
        self.sensors: Sequence[Reading] = ()
        """The newest reading of each selected sensor."""
        self.names: Mapping[int, str] = {}
        """Names of sensors, by number."""
        self._all: Sequence[Reading] = ()
        self._values: dict[int, tuple[float, deque[float]]] = {}

    def choose(self, selected: SensorRanges) -> None:
        """Shows these sensors, with what is known of them."""
        self.selection = selected
        self.see(self._all)

    def see(self, readings: Iterable[Reading]) -> None:
        """Adds a look: the newest reading of every sensor, by sensor."""
        self._all = list(readings)
        self.sensors = [reading for reading in self._all if reading.sensor in self.selection]
        kept = {}
        for reading in self.sensors[:SENSORS]:
            timestamp, values = self._values.get(reading.sensor, (-1.0, deque[float](maxlen=VALUES)))
            if reading.timestamp != timestamp:
                values.append(reading.value)
            kept[reading.sensor] = reading.timestamp, values
        self._values = kept

    def view(self, reading: Reading) -> SensorView:
        """One of `sensors`, with its last values."""
        _, values = self._values.get(reading.sensor, (0.0, (reading.value,)))
        return SensorView(reading.sensor, reading.timestamp, reading.value, tuple(values))
