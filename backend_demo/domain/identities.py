"""Which readings a record of any topic holds."""

from __future__ import annotations

import msgspec

from backend_demo.domain.reading import ANY_TIME, Reading, decode_payload, decode_reading, normalized
from backend_demo.domain.topics import sensor_of


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
