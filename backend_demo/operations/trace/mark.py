"""The message that is followed: what we publish, and which reading is in it. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend_demo.domain.reading import ANY_TIME, Reading, decode_payload, micros
from backend_demo.domain.topics import DEAD_LETTER, PIPELINE, SENSOR_DATA, Partition
from backend_demo.errors import UnknownName
from backend_demo.faust_batch.producer import partition_of

#: What a sensor without readings publishes, degrees Celsius.
FIRST_VALUE = 20.0


@dataclass(frozen=True)
class Mark:
    """An MQTT message of a sensor; of an array of readings, the last one is followed."""

    sensor: int
    topic: str
    payload: bytes
    when: float
    """Epoch seconds at which it was published or seen."""
    reading: Reading | None
    """None: the message has none."""

    @classmethod
    def of(cls, sensor: int, topic: str, payload: bytes, when: float) -> Mark:
        """The mark of a sensor's message, whatever is in it."""
        return cls(sensor, topic, payload, when, next(reversed(readings(sensor, payload)), None))


def readings(sensor: int, payload: bytes) -> list[Reading]:
    """The readings in a sensor's payload, however far ahead of now."""
    found = decode_payload(sensor, payload, now=ANY_TIME, future_tolerance_s=0, time_min=0)
    return [reading for reading in found if isinstance(reading, Reading)]


def payload(value: float | None, newest: tuple[float, float] | None, *, now: float, future_tolerance_s: float) -> bytes:
    """A reading with a time of its own: now, or just after the sensor's newest one where that is ahead of now.

    `newest`: time and value of that one, whose value is repeated when no other is given. A time so far ahead that the
    pipeline would refuse it is not used. `now`: epoch seconds.
    """
    now_us, known = micros(now), FIRST_VALUE
    timestamp_us = now_us
    if newest is not None:
        known = newest[1]
        after_us = micros(newest[0]) + 1
        if after_us <= micros(now + future_tolerance_s):
            timestamp_us = max(now_us, after_us)
    given = known if value is None else value
    # JSON has no NaN; the pipeline takes numbers in strings, and so refuses this one for what it is
    number: object = given if math.isfinite(given) else str(given)
    return json.dumps({"value": number, "timestamp": timestamp_us / 1_000_000}).encode()


def places_of(known: Mapping[str, Sequence[Partition]], sensor: int, topics: Sequence[str]) -> list[Partition]:
    """Returns the partitions in which the sensor's records are; dead letters may be in any. Raises UnknownName."""
    found: set[Partition] = set()
    for name in PIPELINE:
        if name not in known:
            raise UnknownName("topic", name, known)
        keys = [topic.encode() for topic in topics] if name == SENSOR_DATA else [b"%d" % sensor]
        places = known[name]
        found.update(places if name == DEAD_LETTER else (places[partition_of(key, len(places))] for key in keys))
    return sorted(found)
