"""Which sensor a topic or a name means, where its records go, and which names are new."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from backend_demo.domain.names import name_problem, number_in, number_of
from backend_demo.domain.sensor_name import SensorName
from backend_demo.domain.topics import name_in, why_no_sensor

#: A flood of made-up topics or names must not fill the memory.
KNOWN_MAX = 1_000_000


class Place(NamedTuple):
    """A sensor: its number, and the key and partition of its records from `src-data` on."""

    sensor: int
    key: bytes
    partition: int


class KnownSensors:
    """Remembers every sensor met. `partition_of`: the producer's partitioner."""

    def __init__(self, partition_of: Callable[[bytes], int]) -> None:
        self._partition_of = partition_of
        self.by_topic: dict[bytes, Place] = {}
        """By MQTT topic of the built-in forms."""
        self._by_name: dict[str, Place] = {}
        self._names: dict[int, str] = {}
        self._new: list[tuple[SensorName, int]] = []

    def of_topic(self, key: bytes) -> Place | str:
        """The sensor of an MQTT topic of the built-in forms, or why there is none."""
        place = self.by_topic.get(key)
        if place is not None:
            return place
        topic = key.decode(errors="replace")
        name = name_in(topic)
        if name is None:
            return why_no_sensor(topic)
        found = self.of_name(name)
        if isinstance(found, Place):
            if len(self.by_topic) > KNOWN_MAX:
                self.by_topic.clear()
            self.by_topic[key] = found
        return found

    def of_name(self, name: str) -> Place | str:
        """The sensor of this name, or of this number in decimal digits; or why there is none."""
        place = self._by_name.get(name)
        if place is not None:
            return place
        problem = name_problem(name)
        if problem is not None:
            return f"invalid sensor: {problem}"
        number = number_of(name)
        named = number_in(name) is None
        if named:
            other = self._names.setdefault(number, name)
            if other != name:
                return f"{name!r} has the number {number} of {other!r}: rename one of them"
        if len(self._by_name) > KNOWN_MAX:
            self._by_name.clear()
            self._names.clear()
        key = b"%d" % number
        place = self._by_name[name] = Place(number, key, self._partition_of(key))
        if named:
            self._new.append((SensorName(number, name), place.partition))
        return place

    def new_names(self) -> list[tuple[SensorName, int]]:
        """Names met for the first time since the last call, each with the partition of its sensor."""
        found, self._new = self._new, []
        return found
