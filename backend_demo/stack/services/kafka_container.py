"""Kafka as a container: the broker, and what writes its users into its volume before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backend_demo.stack.services.container import HARDENED, ONCE, SECRETS, Note, default, health
from backend_demo.stack.services.kafka_jars import VERSION as OUR_VERSION
from backend_demo.stack.services.kafka_settings import ACCESS, BROKER_SETTINGS, SCRAM_LOGIN
from backend_demo.stack.services.kafka_users import MECHANISM, PROTOCOL
from backend_demo.stack.services.service import Passwords, Variable
from backend_demo.stack.state.secrets import KAFKA_ADMIN

if TYPE_CHECKING:
    from backend_demo.settings import Settings

VERSION = Variable("KAFKA_VERSION", OUR_VERSION)

#: The id of every cluster; brokers that are not one cluster never meet. It is also the image's own.
CLUSTER = "5L6g3nShT-eMCtK--X86sw"

#: The user of the image, who owns the data.
_USER = "1000:1000"

#: Where a broker has its data, and where what prepares them has those of each broker, by its number.
_DATA, VOLUMES = "/var/lib/kafka/data", "/data/kafka"

#: The port for other containers; the one that the host publishes names 127.0.0.1 in its answers.
_INSIDE = 19092
#: The port for its own health check, within its container: bash can make a request there, and not log in with SCRAM.
_HEALTH = 19094

_PASSWORD_FILE = "kafka_password"  # noqa: S105 - the name of a file
#: How a setting refers to what is in that file; doubled, since compose replaces what has one `$`.
_PASSWORD = f"$${{directory:{SECRETS}:{_PASSWORD_FILE}}}"

# SCRAM needs users, whom controllers know when they have elected one of them, for which they must log in
_BETWEEN_CONTROLLERS = "PLAIN"


def _security() -> dict[str, str | int]:
    user = f'username="{KAFKA_ADMIN}" password="{_PASSWORD}"'
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    scram = f"{MECHANISM.lower()}.sasl.jaas.config"
    protocols = {"INTERNAL": PROTOCOL, "EXTERNAL": PROTOCOL, "CONTROLLER": PROTOCOL, "HEALTH": "PLAINTEXT"}
    return {
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        **ACCESS,
        "sasl.mechanism.controller.protocol": _BETWEEN_CONTROLLERS,
        "listener.name.controller.sasl.enabled.mechanisms": _BETWEEN_CONTROLLERS,
        "listener.name.controller.plain.sasl.jaas.config": f'{plain} {user} user_{KAFKA_ADMIN}="{_PASSWORD}";',
        f"listener.name.internal.{scram}": f"{SCRAM_LOGIN} {user};",
        f"listener.name.external.{scram}": f"{SCRAM_LOGIN};",
        "config.providers": "directory",
        "config.providers.directory.class": "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
    }


def advertised(host: str, port: Variable) -> str:
    """What a broker calls itself: by its own name to containers, as 127.0.0.1 to this machine."""
    return f"INTERNAL://{host}:{_INSIDE},EXTERNAL://127.0.0.1:{port},HEALTH://{host}:{_HEALTH}"


def inside(*hosts: str) -> str:
    """Brokers as containers reach them."""
    return ",".join(f"{host}:{_INSIDE}" for host in hosts)


def as_environment(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a broker as the image reads them from its environment."""

    def variable(name: str) -> str:
        return name.upper().replace("_", "__").replace("-", "___").replace(".", "_")

    return {f"KAFKA_{variable(name)}": value for name, value in values.items()}


_CHECK = (
    f"exec 3<>/dev/tcp/127.0.0.1/{_HEALTH} && "
    r"printf '\0\0\0\023\0\003\0\001\0\0\0\001\0\005probe\0\0\0\0' >&3 && "
    r"timeout 3 dd bs=4096 count=1 <&3 2>/dev/null | tr '\0' '\n' | grep -q "
    '"$$HOSTNAME$$"'
)


def broker() -> dict[str, Any]:
    """The broker."""
    port, controller = default("kafka_port"), default("kafka_controller_port")
    return {
        "<<": HARDENED,
        "image": f"apache/kafka:{VERSION}",
        "hostname": "kafka",
        "environment": {
            "CLUSTER_ID": CLUSTER,
            **as_environment(
                {
                    "node.id": 1,
                    "process.roles": "broker,controller",
                    "controller.quorum.voters": f"1@kafka:{controller}",
                    "controller.listener.names": "CONTROLLER",
                    "inter.broker.listener.name": "INTERNAL",
                    "listeners": Note(
                        "HEALTH asks nobody for a user: it is within the container, and who comes there has no right",
                        f"INTERNAL://:{_INSIDE},EXTERNAL://:{port},CONTROLLER://:{controller},"
                        f"HEALTH://127.0.0.1:{_HEALTH}",
                    ),
                    "advertised.listeners": advertised("kafka", Variable("KAFKA_HOST_PORT", port)),
                    **_security(),
                    "log.dirs": _DATA,
                    **BROKER_SETTINGS,
                }
            ),
            "KAFKA_HEAP_OPTS": f"-Xms128m -Xmx{Variable('KAFKA_HEAP_MB', default('kafka_heap_mb'))}m "
            f"-XX:+UseSerialGC {Variable('KAFKA_JVM_OPTIONS', '')}",
            "KAFKA_LOG4J_ROOT_LOGLEVEL": "WARN",
        },
        "volumes": [f"kafka-data:{_DATA}"],
        "tmpfs": [
            Note(
                "what the start script writes, as the image's user; the native parts of compression are unpacked to "
                "/tmp and run",
                "/opt/kafka/config:size=1m,uid=1000,gid=1000",
            ),
            "/opt/kafka/logs:size=16m,uid=1000,gid=1000",
            "/tmp:size=64m,exec",  # noqa: S108 - in the container
            Note("volumes of the image that nobody uses", "/etc/kafka/secrets:size=1m"),
            "/mnt/shared/config:size=1m",
        ],
        "mem_limit": "1g",
        "pids_limit": 300,
        "stop_grace_period": Note("to hand its partitions over, and to close its log", "40s"),
        "healthcheck": Note(
            "the probe of the embedded stack: this broker must be among those that the answer names",
            health(["CMD", "bash", "-c", _CHECK]),
        ),
    }


def secret_files(settings: Settings, passwords: Passwords) -> dict[str, str]:
    """The password by which brokers log in at one another."""
    return {_PASSWORD_FILE: passwords[KAFKA_ADMIN]}


def before() -> dict[str, Any]:
    """What writes the users into the volume of the broker."""
    return {
        "<<": ONCE,
        "user": Note("who owns the data", _USER),
        "command": before_command(1),
        "volumes": [f"kafka-data:{VOLUMES}/1"],
    }


def before_command(*numbers: int) -> list[str]:
    """How it is started, for the brokers of these numbers."""
    return ["python", "-m", "backend_demo.stack.services.kafka_volume", *map(str, numbers)]
