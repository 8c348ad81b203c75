"""The bridge: from an MQTT broker that is not ours to the topic sensor-data."""

from __future__ import annotations

from typing import Any

from backend_demo.domain.topics import DEAD_LETTER, SENSOR_DATA
from backend_demo.stack.services.ours import our_service, settings_of
from backend_demo.stack.services.service import KafkaRights


def _container() -> dict[str, Any]:
    return {"environment": settings_of(BRIDGE, BDEMO_MQTT_HOST="mosquitto", BDEMO_MQTT_PORT="1884")}


BRIDGE = our_service(
    "bridge",
    about="takes messages from another MQTT broker to the topic sensor-data",
    entry_point="backend_demo.stages.bridge",
    needs=("kafka",),
    asked_for=lambda settings: settings["mqtt_source"] == "bridge",
    single="its MQTT session belongs to a single client",
    stats_variable="BRIDGE_STATS_HOST_PORT",
    kafka_rights=KafkaRights(writes=(SENSOR_DATA, DEAD_LETTER)),
    mqtt_user="bridge",
    container=_container,
)
