"""Kafka UI: a look into the topics, as a container of the profile `tools`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backend_demo.stack.services import kafka_container
from backend_demo.stack.services.container import HARDENED, SECRETS, http_health, page
from backend_demo.stack.services.kafka_settings import SCRAM_LOGIN
from backend_demo.stack.services.kafka_users import MECHANISM, PROTOCOL
from backend_demo.stack.services.service import Passwords, Port, Service, Variable
from backend_demo.stack.state.secrets import KAFKA_READER

if TYPE_CHECKING:
    from backend_demo.settings import Settings

PORT = Port(variable="KAFKA_UI_HOST_PORT", number=8080)

#: How it is told which brokers there are.
BROKERS = "BROKERS"

_USER = "kafka-ui"
_FILE = "kafka-ui.yml"

#: Its own login, and its cluster, as Kafka's reader. A list of settings comes from one source, so all of it is here.
_CONFIGURATION = """\
auth:
  type: LOGIN_FORM
spring.security.user:
  name: {user}
  password: {own_password}
kafka.clusters:
  - name: bdemo
    bootstrapServers: ${{{brokers}}}
    readOnly: true
    properties:
      security.protocol: {protocol}
      sasl.mechanism: {mechanism}
      sasl.jaas.config: '{login} username="{reader}" password="{password}";'
"""


def _secret_files(settings: Settings, passwords: Passwords) -> dict[str, str]:
    text = _CONFIGURATION.format(
        user=_USER,
        own_password=passwords[_USER],
        brokers=BROKERS,
        protocol=PROTOCOL,
        mechanism=MECHANISM,
        login=SCRAM_LOGIN,
        reader=KAFKA_READER,
        password=passwords[KAFKA_READER],
    )
    return {_FILE: text}


def _container() -> dict[str, Any]:
    return {
        "<<": HARDENED,
        "image": f"ghcr.io/kafbat/kafka-ui:{KAFKA_UI.variables[0]}",
        "environment": {
            "SPRING_CONFIG_ADDITIONAL_LOCATION": f"file:{SECRETS}/{_FILE}",
            BROKERS: kafka_container.inside("kafka"),
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
    users=(_USER,),
    addresses=page("kafka-ui", PORT),
    container=_container,
    secret_files=_secret_files,
    image_user=True,
    variables=(Variable("KAFKA_UI_VERSION", "v1.3.0"),),
)
