"""Names on the wire: Kafka topics with their settings, and the MQTT topics of a sensor."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

PARTITIONS = 8


@dataclass(frozen=True)
class TopicSpec:
    """A Kafka topic as the pipeline needs it."""

    name: str
    partitions: int = PARTITIONS
    config: dict[str, str] = field(default_factory=dict)


SENSOR_DATA = "sensor-data"
SRC_DATA = "src-data"
PROCESSED_DATA = "processed-data"
AGGREGATED_DATA = "aggregated-data"
DEAD_LETTER = "dead-letter"
AGGREGATION_STATE = "aggregation-state"

#: The topics that a reading passes, in that order; `dead-letter` takes what cannot be used.
PIPELINE = (SENSOR_DATA, SRC_DATA, PROCESSED_DATA, AGGREGATED_DATA, DEAD_LETTER)

TOPICS: dict[str, TopicSpec] = {
    **{name: TopicSpec(name) for name in PIPELINE},
    AGGREGATION_STATE: TopicSpec(
        AGGREGATION_STATE,
        # only closed segments are compacted, and all that is left is read when partitions are assigned
        config={
            "cleanup.policy": "compact",
            "segment.ms": "3600000",
            "segment.bytes": "33554432",
            "min.cleanable.dirty.ratio": "0.2",
        },
    ),
}

#: Largest sensor number: the column is a bigint.
SENSOR_MAX = 2**63 - 1

# `sensors/<n>/temperature`, or `/sensor<n>/temp` as the original's devices say it; no leading zeros, so that a
# sensor has one name in each form
_SENSOR = re.compile(r"(?:sensors/(0|[1-9][0-9]{0,18})/temperature|/sensor(0|[1-9][0-9]{0,18})/temp)")


def sensor_of(mqtt_topic: str) -> int | None:
    """The sensor's number in an MQTT topic; None when the topic names no sensor."""
    match = _SENSOR.fullmatch(mqtt_topic)
    if match is None:
        return None
    number = int(match[1] or match[2])
    return number if number <= SENSOR_MAX else None


def mqtt_topic(sensor: int, *, original: bool = False) -> str:
    """The MQTT topic on which a sensor publishes."""
    return f"/sensor{sensor}/temp" if original else f"sensors/{sensor}/temperature"
