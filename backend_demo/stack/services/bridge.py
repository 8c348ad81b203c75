"""The bridge: from an MQTT broker that is not ours to the topic sensor-data."""

from __future__ import annotations

from typing import Any

from backend_demo.stack.services.ours import our_service, settings_of


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
    mqtt_user="bridge",
    container=_container,
)
