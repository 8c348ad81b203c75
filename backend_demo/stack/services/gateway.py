"""The gateway: REST and live streams over the tables, and the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backend_demo.domain.topics import DEAD_LETTER, DEAD_LETTER_MARKS, PIPELINE, SENSOR_DATA
from backend_demo.stack.services import mqtt_users, prometheus, round_trip
from backend_demo.stack.services.container import Note, default, folder, health
from backend_demo.stack.services.ours import our_service, settings_of
from backend_demo.stack.services.service import Addresses, KafkaRights, Port
from backend_demo.stack.state.secrets import TOKEN

if TYPE_CHECKING:
    from backend_demo.stack.state.directory import StateDirectory

#: It answers, and reaches its database.
READY_PATH = "/readyz"

#: Where its container finds the file that says where the metrics of every copy are.
_TARGETS = "/etc/bdemo/targets"


def probe(number: int, addresses: Addresses, state: StateDirectory) -> bool:
    """GET /readyz."""
    return round_trip.get(addresses["gateway_port"], READY_PATH)[0] == 200


def _container() -> dict[str, Any]:
    return {
        "environment": settings_of(
            GATEWAY,
            BDEMO_GATEWAY_HOST="0.0.0.0",  # noqa: S104 - in the container
            BDEMO_GATEWAY_PUBLISHED_ON_LOOPBACK=Note(
                'true of the ports below; to publish them elsewhere, set this to "false" and use tokens '
                "(docs/reference/gateway.md)",
                "true",
            ),
            BDEMO_GATEWAY_ALLOWED_HOSTS='["gateway"]',
            BDEMO_METRICS_TARGETS=f"{_TARGETS}/{prometheus.TARGETS}",
            BDEMO_MQTT_USERS_FILE=mqtt_users.READER_FILE,
        ),
        "volumes": [folder(prometheus.CONTAINER_TARGETS, _TARGETS), mqtt_users.volume()],
        "healthcheck": health(["CMD", "healthcheck", str(default("gateway_port")), READY_PATH]),
    }


GATEWAY = our_service(
    "gateway",
    about="answers REST requests and shows the console; the API is described at /docs",
    entry_point="backend_demo.gateway.app",
    owns_input=False,
    needs=("postgres",),
    single="it listens on a single port",
    listens=(Port("gateway_port", "GATEWAY_HOST_PORT"), Port("gateway_tls_port", network=True)),
    users=(TOKEN,),
    job="api-gateway",  # the original's
    stats_variable="GATEWAY_STATS_HOST_PORT",
    # it follows test readings, and replays dead letters
    kafka_rights=KafkaRights(
        reads=(*PIPELINE, DEAD_LETTER_MARKS), writes=(SENSOR_DATA, DEAD_LETTER, DEAD_LETTER_MARKS)
    ),
    mqtt_user="sensor",  # it publishes test readings
    postgres_user="bdemo_reader",
    probe=probe,
    addresses=lambda saved, state, variables: {"gateway": saved["gateway_url"]},
    container=_container,
)
