"""The readings of a run: what is sent, in which order, and what must come of it. Seeded; no clock, no network."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from backend_demo.domain.topics import PARTITIONS, mqtt_topic
from backend_demo.domain.verdict import Entry
from backend_demo.errors import UsageError
from backend_demo.faust_batch.producer import Message, partition_of

SENSORS_MAX = 100_000
#: All readings are in memory, and are sent while services are frozen.
READINGS_MAX = 2_000_000
#: Time between two readings, of any sensor, microseconds.
STEP_US = 100
#: Newer readings of its sensor that a late one comes after, at most: some are too late for the aggregation's state.
DELAY_MAX = 40
#: A value outside the plausible range: refused by the processing.
IMPLAUSIBLE = 1000.0
#: Time ahead of now, microseconds: refused by the collection.
AHEAD_US = 86_400_000_000


@dataclass(frozen=True)
class DrainLoad:
    """What a drain sends. Raises UsageError."""

    readings: int = 500_000
    sensors: int = 100
    late: float = 0.0
    """Fraction that comes after newer readings of the same sensor."""
    refused: float = 0.0
    """Fraction that must become dead letters."""
    skew: bool = False
    """One sensor sends half of everything."""

    def __post_init__(self) -> None:
        _check("readings", self.readings, 1, READINGS_MAX)
        _check("sensors", self.sensors, 1, SENSORS_MAX)
        _check("late", self.late, 0, 1)
        _check("refused", self.refused, 0, 0.9)
        _check("late and refused together", self.late + self.refused, 0, 1)


@dataclass(frozen=True)
class Block:
    """Readings in the order they are sent."""

    messages: list[tuple[int, bytes]]
    """Sensor and payload."""
    entries: list[Entry]
    """The same as entries of a ledger, refused ones included, by time."""
    refused: int

    @property
    def stored(self) -> int:
        """Number of rows that each table must get."""
        return len(self.entries) - self.refused

    @property
    def first(self) -> float:
        """The oldest time, epoch seconds."""
        return self.entries[0].timestamp


def block(load: DrainLoad, first_sensor: int, end_us: int) -> Block:
    """Readings of the sensors from `first_sensor` on, with times up to just before `end_us`."""
    rng = random.Random(load.readings)  # noqa: S311 - no secret
    placed: list[tuple[float, int, bytes]] = []
    entries: list[Entry] = []
    refused = 0
    begin_us = end_us - load.readings * STEP_US
    for number in range(load.readings):
        number_of_sensor, spacing = _turn(load, number)
        sensor = first_sensor + number_of_sensor
        time_us, value, place = begin_us + number * STEP_US, round(rng.uniform(20, 30), 2), float(number)
        fault = rng.random()
        if fault < load.refused:
            refused += 1
            if refused % 2:
                value = IMPLAUSIBLE
            else:
                time_us += AHEAD_US
        elif fault < load.refused + load.late:
            place += spacing * rng.randint(1, DELAY_MAX) + 0.5
        placed.append((place, sensor, payload(time_us, value)))
        entries.append(Entry(sensor, time_us / 1_000_000, value, "acked"))
    placed.sort(key=lambda item: item[0])
    return Block([(sensor, sent) for _, sensor, sent in placed], entries, refused)


def _turn(load: DrainLoad, number: int) -> tuple[int, int]:
    """Whose reading this is, counted from 0, and the distance between readings of that sensor."""
    if load.skew and load.sensors > 1:
        half, other = divmod(number, 2)
        return (1 + half % (load.sensors - 1), 2 * (load.sensors - 1)) if other else (0, 2)
    return number % load.sensors, load.sensors


def payload(time_us: int, value: float) -> bytes:
    """The message that a sensor publishes."""
    seconds, micros = divmod(time_us, 1_000_000)
    return b'{"timestamp": %d.%06d, "value": %s}' % (seconds, micros, repr(value).encode())


def by_partition(topic: str, messages: Iterable[tuple[int, bytes]]) -> dict[tuple[str, int], list[Message]]:
    """The messages as records of a topic, as the proxy would write them: the MQTT topic is the key."""
    records: dict[tuple[str, int], list[Message]] = {(topic, partition): [] for partition in range(PARTITIONS)}
    for sensor, sent in messages:
        key, partition = place_of(sensor)
        records[topic, partition].append((key, sent))
    return records


@lru_cache(maxsize=SENSORS_MAX)
def place_of(sensor: int) -> tuple[bytes, int]:
    """Key and partition of a sensor's records on `sensor-data`."""
    key = mqtt_topic(sensor).encode()
    return key, partition_of(key, PARTITIONS)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} is {value:g}", hint=f"choose from {low:g} to {high:,.10g}")
