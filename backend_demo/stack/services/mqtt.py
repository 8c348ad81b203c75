"""The MQTT proxy: takes what clients publish into the topic sensor-data. Its copies share one port."""

from __future__ import annotations

from typing import Any

from backend_demo.domain.topics import DEAD_LETTER, SENSOR_DATA
from backend_demo.stack.services import mqtt_users, ours
from backend_demo.stack.services.service import KafkaRights, Port


def _container() -> dict[str, Any]:
    own = ours.settings_of(
        MQTT,
        BDEMO_MQTT_LISTEN_HOST="0.0.0.0",  # noqa: S104 - in the container
        BDEMO_MQTT_USERS_FILE=mqtt_users.READER_FILE,
    )
    return {"environment": own, "volumes": [mqtt_users.volume()]}


MQTT = ours.our_service(
    "mqtt",
    about="takes what MQTT clients publish to the topic sensor-data",
    entry_point="backend_demo.stages.proxy.service",
    owns_input=False,
    shares_port=True,
    needs=("kafka",),
    asked_for=lambda settings: settings["mqtt_source"] == "proxy",
    listens=(Port("mqtt_port", "MQTT_PROXY_HOST_PORT"), Port("mqtt_tls_port", network=True)),
    stats_variable="MQTT_STATS_HOST_PORT",
    kafka_rights=KafkaRights(reads=(SENSOR_DATA,), writes=(SENSOR_DATA, DEAD_LETTER)),
    users=tuple(mqtt_users.STANDARD),
    addresses=lambda saved, state, variables: {"mqtt": f"{saved['mqtt_host']}:{saved['mqtt_port']}"},
    container=_container,
    client_settings={"mqtt_host": "mqtt"},
)
