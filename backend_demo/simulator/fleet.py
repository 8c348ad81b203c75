"""The sensors of a plan: what they measure becomes messages, faults included. Pure: no clock, no network."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from backend_demo.domain.reading import Reading
from backend_demo.domain.topics import mqtt_topic
from backend_demo.simulator import data_faults
from backend_demo.simulator.plan import Plan
from backend_demo.simulator.value_models import value

#: Longest reading in a message, bytes.
ITEM_MAX = 80


class SensorMessage(NamedTuple):
    """One MQTT message, and the readings that it brings for the first time."""

    sensor: int
    topic: str
    payload: bytes
    readings: tuple[Reading, ...]


class _Item(NamedTuple):
    """One reading, or what replaces it, as it goes into a message."""

    encoded: bytes
    reading: Reading | None
    """None for a repetition and for a corrupt one: nothing new that must arrive."""


class Fleet:
    """All sensors of a plan; a reading's index and fault depend on the plan only, its time on `measure`."""

    def __init__(self, plan: Plan) -> None:
        self.counts: Counter[str] = Counter()
        """Faulty readings, by fault."""
        self._plan = plan
        self._faulty = plan.faults != data_faults.Faults()
        self._form = (
            b'{"timestamp": "%b", "value": "%b"}' if plan.topics == "original" else b'{"timestamp": %b, "value": %b}'
        )
        self._newest_us = [0] * plan.sensors
        self._sensors = range(plan.first_sensor, plan.first_sensor + plan.sensors * plan.sensor_step, plan.sensor_step)
        self._topics = {sensor: mqtt_topic(sensor, original=plan.topics == "original") for sensor in self._sensors}
        self._held: dict[int, list[tuple[int, _Item]]] = defaultdict(list)
        """Late readings, with the index after which each is sent, by sensor."""
        self._batches: dict[int, list[_Item]] = defaultdict(list)
        """Readings that wait until their sensor's message is full."""

    def measure(self, number: int, time_us: int) -> Iterator[SensorMessage]:
        """The reading of this number over all sensors, taken at `time_us` (epoch microseconds): what is sent now.

        A time that its sensor has used already becomes the next free one.
        """
        index, place = divmod(number, self._plan.sensors)
        time_us = self._newest_us[place] = max(time_us, self._newest_us[place] + 1)
        sensor = self._sensors[place]
        fault = self._plan.faults.of(self._plan.seed, sensor, index) if self._faulty else None
        if fault is not None:
            self.counts[fault] += 1
        if fault == "corrupt":
            items = [_Item(self._corrupt(sensor, index, time_us / 1_000_000), None)]
        elif fault == "drop":
            items = []
        else:
            item = self._take(sensor, index, time_us / 1_000_000)
            if fault == "late":
                self._held[sensor].append((index + data_faults.delay(self._plan.seed, sensor, index), item))
                items = []
            else:
                items = [item, _Item(item.encoded, None)] if fault == "duplicate" else [item]
        if sensor in self._held:
            items += self._released(sensor, index)
        return self._messages(sensor, items)

    def rest(self) -> Iterator[SensorMessage]:
        """What is still held back, at the end: late readings and messages that are not full."""
        for sensor in sorted(self._held):
            yield from self._messages(sensor, [item for _, item in self._held.pop(sensor)])
        for sensor in sorted(self._batches):
            if items := self._batches.pop(sensor):
                yield self._message(sensor, items)

    def _take(self, sensor: int, index: int, timestamp: float) -> _Item:
        plan = self._plan
        measured = value(plan.model, plan.kind, plan.seed, sensor, index)
        encoded = self._form % (repr(timestamp).encode(), repr(measured).encode())
        return _Item(encoded, Reading(sensor, timestamp, float(measured)))

    def _corrupt(self, sensor: int, index: int, timestamp: float) -> bytes:
        return data_faults.corrupt(self._plan.seed, sensor, index, timestamp, in_array=self._plan.batch > 1)

    def _released(self, sensor: int, index: int) -> list[_Item]:
        held = self._held[sensor]
        released = [item for until, item in held if until <= index]
        if released:
            self._held[sensor] = [late for late in held if late[0] > index]
        return released

    def _messages(self, sensor: int, items: list[_Item]) -> Iterator[SensorMessage]:
        if self._plan.batch == 1:
            for item in items:
                yield self._message(sensor, [item])
            return
        batch = self._batches[sensor]
        for item in items:
            batch.append(item)
            if len(batch) == self._plan.batch:
                yield self._message(sensor, batch)
                batch = self._batches[sensor] = []

    def _message(self, sensor: int, items: list[_Item]) -> SensorMessage:
        payload = items[0].encoded if self._plan.batch == 1 else b"[%b]" % b",".join(item.encoded for item in items)
        readings = tuple(item.reading for item in items if item.reading is not None)
        return SensorMessage(sensor, self._topics[sensor], payload, readings)
