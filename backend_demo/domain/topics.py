"""Names on the wire: Kafka topics with their settings, and the MQTT topics of a sensor."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from backend_demo.domain.names import name_problem, number_in, number_of

PARTITIONS = 8

Partition = tuple[str, int]
"""A topic and the number of one of its partitions."""


@dataclass(frozen=True)
class TopicSpec:
    """A Kafka topic with the settings that the pipeline needs."""

    name: str
    partitions: int = PARTITIONS
    config: dict[str, str] = field(default_factory=dict)


SENSOR_DATA = "sensor-data"
SRC_DATA = "src-data"
PROCESSED_DATA = "processed-data"
AGGREGATED_DATA = "aggregated-data"
DEAD_LETTER = "dead-letter"
AGGREGATION_STATE = "aggregation-state"
SENSOR_NAMES = "sensor-names"
DEAD_LETTER_MARKS = "dead-letter-marks"

#: The topics that a reading passes, in order; `dead-letter` takes what cannot be used.
PIPELINE = (SENSOR_DATA, SRC_DATA, PROCESSED_DATA, AGGREGATED_DATA, DEAD_LETTER)

TOPICS: dict[str, TopicSpec] = {
    **{name: TopicSpec(name) for name in PIPELINE},
    AGGREGATION_STATE: TopicSpec(
        AGGREGATION_STATE,
        # Kafka compacts closed segments only, and an assignment reads everything that compaction leaves
        config={
            "cleanup.policy": "compact",
            "segment.ms": "3600000",
            "segment.bytes": "33554432",
            "min.cleanable.dirty.ratio": "0.2",
        },
    ),
    # each process of the collection sends a name when it first meets it
    SENSOR_NAMES: TopicSpec(SENSOR_NAMES, config={"cleanup.policy": "compact"}),
    # as long as a dead letter is there, so is what became of it; `bdemo dlq purge` deletes both
    DEAD_LETTER_MARKS: TopicSpec(DEAD_LETTER_MARKS, config={"retention.ms": "-1"}),
}

# `sensors/<number or name>/temperature`, or `/sensor<number>/temp` as the original's devices send it
_SENSOR = re.compile(r"sensors/([^/]+)/([^/]+)|/sensor([0-9]+)/([^/]+)")


def name_in(mqtt_topic: str) -> str | None:
    """The sensor in an MQTT topic, as a name or a number in decimal digits; None when there is none."""
    match = _SENSOR.fullmatch(mqtt_topic)
    if match is None or (match[2] != "temperature" if match[1] else match[4] != "temp"):
        return None
    name = match[1] or match[3]
    if name.isdecimal():  # no leading zeros and no other alphabet: a number is written in one way
        return name if number_in(name) is not None else None
    return name if name_problem(name) is None else None


def sensor_of(mqtt_topic: str) -> int | None:
    """The number of the sensor in an MQTT topic; None when there is none."""
    name = name_in(mqtt_topic)
    return None if name is None else number_of(name)


def why_no_sensor(mqtt_topic: str) -> str:
    """Why `sensor_of` finds no sensor in an MQTT topic, as the detail of a dead letter."""
    match = _SENSOR.fullmatch(mqtt_topic)
    if match is None:
        return f"no sensor in {mqtt_topic[:200]!r}"
    name, quantity = match[1] or match[3], match[2] or match[4]
    if quantity != ("temperature" if match[1] else "temp"):
        return f"{quantity[:100]} of sensor {name[:100]}: only temperature is taken"
    if name.isdecimal():
        return f"invalid sensor number {name[:100]!r}"
    return f"invalid sensor: {name_problem(name)}"


def mqtt_topic(sensor: int | str, *, original: bool = False) -> str:
    """The MQTT topic on which a sensor publishes."""
    return f"/sensor{sensor}/temp" if original else f"sensors/{sensor}/temperature"
