"""Kafka UI: a look into the topics, as a container of the profile `tools`."""

from __future__ import annotations

from typing import Any

from backend_demo.stack.services import kafka
from backend_demo.stack.services.container import HARDENED, http_health, page
from backend_demo.stack.services.service import Port, Service, Variable

PORT = Port(variable="KAFKA_UI_HOST_PORT", number=8080)

#: How it is told which brokers there are.
BROKERS = "KAFKA_CLUSTERS_0_BOOTSTRAPSERVERS"


def _container() -> dict[str, Any]:
    return {
        "<<": HARDENED,
        "image": f"ghcr.io/kafbat/kafka-ui:{KAFKA_UI.variables[0]}",
        "environment": {
            "KAFKA_CLUSTERS_0_NAME": "bdemo",
            BROKERS: kafka.inside("kafka"),
            "KAFKA_CLUSTERS_0_READONLY": "true",
            "JAVA_OPTS": "-Xmx384m",
        },
        "tmpfs": ["/tmp:size=64m,exec"],  # noqa: S108 - in the container
        "mem_limit": "768m",
        "stop_grace_period": "15s",
        "healthcheck": http_health(f"http://127.0.0.1:{PORT.number}/actuator/health", interval="15s"),
    }


KAFKA_UI = Service(
    name="kafka-ui",
    about="shows the topics",
    needs=("kafka",),
    listens=(PORT,),
    single="its clients know a single address",
    addresses=page("kafka-ui", PORT),
    container=_container,
    variables=(Variable("KAFKA_UI_VERSION", "v1.3.0"),),
)
