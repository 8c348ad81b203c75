"""The message that is followed: what stands in it when we publish it, and which reading is in it. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from backend_demo.domain.reading import Reading, decode_payload, micros

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
    """None: there is none in it."""

    @classmethod
    def of(cls, sensor: int, topic: str, payload: bytes, when: float) -> Mark:
        """The mark of a sensor's message, whatever is in it."""
        return cls(sensor, topic, payload, when, next(reversed(readings(sensor, payload)), None))


def readings(sensor: int, payload: bytes) -> list[Reading]:
    """The readings in a sensor's payload, however far ahead of now."""
    found = decode_payload(sensor, payload, now=math.inf, future_tolerance_s=0)
    return [reading for reading in found if isinstance(reading, Reading)]


def payload(value: float | None, newest: tuple[float, float] | None, *, now: float, future_tolerance_s: float) -> bytes:
    """A reading with a time of its own: now, or just after the sensor's newest one where that is ahead of now.

    `newest`: time and value of that one, whose value is repeated when no other is given. A time so far ahead that the
    pipeline would refuse it is left alone. `now`: epoch seconds.
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
