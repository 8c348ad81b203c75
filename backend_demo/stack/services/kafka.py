"""Kafka: one broker in KRaft mode, as a child process or a container, with the pipeline's topics."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from backend_demo.domain.topics import PARTITIONS, TOPICS
from backend_demo.stack.services import kafka_data, kafka_jars, kafka_probe, kafka_rights, kafka_users
from backend_demo.stack.services.container import HARDENED, Note, default, health
from backend_demo.stack.services.kafka_jars import VERSION
from backend_demo.stack.services.kafka_rights import Right
from backend_demo.stack.services.kafka_topics import create_topics
from backend_demo.stack.services.kafka_users import BOOTSTRAP, MECHANISM, PROTOCOL
from backend_demo.stack.services.postgres import newest_reading
from backend_demo.stack.services.service import KeptData, Port, Program, ServerAccess, Service, Variable
from backend_demo.stack.state.files import write_private
from backend_demo.stack.state.secrets import KAFKA_ADMIN, KAFKA_READER

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.stack.state.directory import StateDirectory

#: The program that makes the start-up cache.
CACHE = "kafka-cache"

#: Both forms of the broker have these.
BROKER_SETTINGS: Mapping[str, str | int] = {
    "num.partitions": PARTITIONS,
    "auto.create.topics.enable": "false",
    # one node: its own topics have one copy each
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 8,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 8,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # after a kill the old session must end before the broker may listen again: 5 s instead of 13
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "group.initial.rebalance.delay.ms": 0,
    # MQTT payload < batch of our producers (1 MiB) < this
    "message.max.bytes": 2097152,
    # memory of an idle broker
    "log.cleaner.dedupe.buffer.size": 16777216,
    "num.network.threads": 2,
    "num.io.threads": 4,
}

LOG4J = """\
status=error
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
# at every start of a single node, its broker asks its controller a moment too early, and succeeds when it asks again
logger.early.name=kafka.server.ControllerApis
logger.early.level=fatal
logger.activation.name=org.apache.kafka.controller.QuorumController
logger.activation.level=error
# it calls what a cold JVM on a busy machine does slow, as an error
logger.slow.name=org.apache.kafka.controller.EventPerformanceMonitor
logger.slow.level=off
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSS}{UTC}Z %-5p %c{1} %m%n
"""

#: The port for other containers; the one that the host publishes names 127.0.0.1 in its answers.
_INSIDE = 19092


# -- as a child process


def prepare(settings: Settings, state: StateDirectory) -> Program:
    """Writes the configuration and formats a new data directory; returns the program that runs Kafka."""
    folder = state.path / "kafka"
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    meta = data / "meta.properties"
    if not meta.exists():
        # what `StorageTool format` does, without the two seconds of a JVM
        write_private(meta, f"version=1\nnode.id=1\ncluster.id={random_id()}\ndirectory.id={random_id()}\n")
    passwords = {user: state.secrets.of(user) for user in users()}
    rights = kafka_rights.wanted(_services(), settings.consumer_group_prefix)
    kafka_users.write_users(data, passwords, rights, kafka_jars.home() / BOOTSTRAP)
    configuration, log4j, arguments = (
        folder / "server.properties",
        folder / "log4j2.properties",
        folder / "java.arguments",
    )
    # the data directory relative to where Kafka runs: the value is a list, so it cannot hold a comma, and Latin-1
    data_dir = str(data.relative_to(state.path))
    own = properties(settings.kafka_port, settings.kafka_controller_port, data_dir, passwords[KAFKA_ADMIN])
    write_private(configuration, own)
    log4j.write_text(LOG4J)
    cache = kafka_jars.trusted_start_up_cache()
    options = [
        f"-Xmx{settings.kafka_heap_mb}m",
        "-XX:+UseSerialGC",
        *settings.kafka_jvm_options,
        *([f"-XX:AOTCache={cache}", "-Xlog:all=error"] if cache else []),
        f"-Dlog4j2.configurationFile={log4j.as_uri()}",
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "-cp",
        kafka_jars.class_path(kafka_jars.home()),
    ]
    arguments.write_text("".join(f'"{option.replace(chr(92), chr(92) * 2)}"\n' for option in options))
    return Program("kafka", "servers", (kafka_jars.java(), f"@{arguments}", "kafka.Kafka", str(configuration)))


def properties(port: int, controller_port: int, data_dir: str, password: str) -> str:
    """The configuration of a broker that is its own controller, on this machine; `password` is the administrator's."""
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    values: Mapping[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENT",
        "listener.security.protocol.map": f"CLIENT:{PROTOCOL},CONTROLLER:{PROTOCOL}",
        "listeners": f"CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{port}",
        "log.dirs": data_dir,
        **{
            f"listener.name.{listener}.{MECHANISM.lower()}.sasl.jaas.config": (
                f'{login} username="{KAFKA_ADMIN}" password="{password}";'
            )
            for listener in ("client", "controller")
        },
        "sasl.enabled.mechanisms": MECHANISM,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        "sasl.mechanism.controller.protocol": MECHANISM,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{KAFKA_ADMIN}",
        # most that Kafka reads of somebody who has not logged in, bytes
        "sasl.server.max.receive.size": 16384,
        **BROKER_SETTINGS,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def users() -> list[str]:
    """All that have a password in the Kafka that is a child process."""
    return [KAFKA_ADMIN, KAFKA_READER, *(each.kafka_user for each in _services() if each.kafka_user)]


def _services() -> Iterable[Service]:
    from backend_demo.stack.services.table import SERVICES  # which imports this module

    return SERVICES.values()


def random_id() -> str:
    """A random id as Kafka writes them: 16 bytes in base64, and not like an option on a command line."""
    while (text := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return text


def _programs(settings: Settings, state: StateDirectory, report: Callable[[str], None]) -> list[Program]:
    kafka_jars.fetch(report)
    cache = (sys.executable, "-m", "backend_demo.stack.services.kafka_cache")
    return [prepare(settings, state), Program(CACHE, "servers", cache, once=True)]


def _background() -> str | None:
    return None if kafka_jars.start_up_cache().exists() else CACHE


# -- what it must hold


def _provision(access: ServerAccess) -> str | None:
    from backend_demo.adapters.kafka import Brokers

    # the setting is for servers of the user's own, and for containers; the child process is a single broker
    replication = 1 if access.state_dir else int(access.settings["topic_replication"])
    brokers, rights = Brokers(access.settings["kafka_bootstrap"]), set[Right]()
    if access.settings.get("kafka_security_protocol") == PROTOCOL:
        brokers = replace(brokers, protocol=PROTOCOL, username=KAFKA_ADMIN, password=access.password(KAFKA_ADMIN))
        rights = kafka_rights.wanted(_services(), access.settings["consumer_group_prefix"])
    made = create_topics(brokers, replication=replication, rights=rights, newest=partial(newest_reading, access))
    # without any, it is a new one
    return f"made again, empty: {', '.join(made)}" if made and len(made) < len(TOPICS) else None


# -- as a container


def advertised(host: str, port: Variable) -> str:
    """What a broker calls itself: by its own name to containers, as 127.0.0.1 to this machine."""
    return f"INTERNAL://{host}:{_INSIDE},EXTERNAL://127.0.0.1:{port}"


def inside(*hosts: str) -> str:
    """Brokers as containers reach them."""
    return ",".join(f"{host}:{_INSIDE}" for host in hosts)


def as_environment(values: Mapping[str, str | int]) -> dict[str, str | int]:
    """Settings of a broker as the image reads them from its environment."""
    return {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in values.items()}


def _container() -> dict[str, Any]:
    port, controller = default("kafka_port"), default("kafka_controller_port")
    return {
        "<<": HARDENED,
        "image": f"apache/kafka:{KAFKA.variables[0]}",
        "hostname": "kafka",
        "environment": {
            **as_environment(
                {
                    "node.id": 1,
                    "process.roles": "broker,controller",
                    "controller.quorum.voters": f"1@kafka:{controller}",
                    "controller.listener.names": "CONTROLLER",
                    "inter.broker.listener.name": "INTERNAL",
                    "listener.security.protocol.map": "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
                    "listeners": f"INTERNAL://:{_INSIDE},EXTERNAL://:{port},CONTROLLER://:{controller}",
                    "advertised.listeners": advertised("kafka", Variable("KAFKA_HOST_PORT", port)),
                    "log.dirs": "/var/lib/kafka/data",
                    **BROKER_SETTINGS,
                }
            ),
            "KAFKA_HEAP_OPTS": f"-Xms128m -Xmx{Variable('KAFKA_HEAP_MB', default('kafka_heap_mb'))}m "
            f"-XX:+UseSerialGC {Variable('KAFKA_JVM_OPTIONS', '')}",
            "KAFKA_LOG4J_ROOT_LOGLEVEL": "WARN",
        },
        "volumes": ["kafka-data:/var/lib/kafka/data"],
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
            health(["CMD", "bash", "-c", _HEALTH]),
        ),
    }


_HEALTH = (
    f"exec 3<>/dev/tcp/127.0.0.1/{_INSIDE} && "
    r"printf '\0\0\0\023\0\003\0\001\0\0\0\001\0\005probe\0\0\0\0' >&3 && "
    r"timeout 3 dd bs=4096 count=1 <&3 2>/dev/null | tr '\0' '\n' | grep -q "
    '"$$HOSTNAME$$"'
)


KAFKA = Service(
    name="kafka",
    about="holds the topics",
    listens=(Port("kafka_port", "KAFKA_HOST_PORT"), Port("kafka_controller_port")),
    single="its data belong to a single process",
    programs=_programs,
    data=KeptData(
        folder="kafka/data",
        version=VERSION,
        goes_on_with=kafka_data.goes_on_with,
        end_offsets=kafka_data.end_offsets,
    ),
    probe=kafka_probe.probe,
    background=_background,
    provision=_provision,
    may_lose=True,
    addresses=lambda saved, state, variables: {"kafka": saved["kafka_bootstrap"]},
    container=_container,
    client_settings={"kafka_bootstrap": inside("kafka")},
    variables=(Variable("KAFKA_VERSION", VERSION),),
)
