"""Kafka: one broker in KRaft mode, as a child process or a container, with the pipeline's topics."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import struct
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from backend_demo.domain.topics import PARTITIONS, TOPICS, TopicSpec
from backend_demo.errors import ServiceFailed
from backend_demo.stack.services import kafka_jars, round_trip
from backend_demo.stack.services.container import HARDENED, Note, default, health
from backend_demo.stack.services.kafka_jars import VERSION
from backend_demo.stack.services.service import Addresses, Port, Program, ServerAccess, Service, Variable
from backend_demo.stack.state.files import write_private

if TYPE_CHECKING:
    from backend_demo.adapters.kafka import Brokers
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
        shutil.copy(kafka_jars.home() / kafka_jars.BOOTSTRAP, data)
        write_private(meta, f"version=1\nnode.id=1\ncluster.id={random_id()}\ndirectory.id={random_id()}\n")
    configuration, log4j, arguments = (
        folder / "server.properties",
        folder / "log4j2.properties",
        folder / "java.arguments",
    )
    # the data directory relative to where Kafka runs: the value is a list, so it cannot hold a comma, and Latin-1
    data_dir = str(data.relative_to(state.path))
    configuration.write_text(properties(settings.kafka_port, settings.kafka_controller_port, data_dir))
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


def properties(port: int, controller_port: int, data_dir: str) -> str:
    """The configuration of a broker that is its own controller, on this machine."""
    values: Mapping[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "log.dirs": data_dir,
        **BROKER_SETTINGS,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


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


def probe(number: int, addresses: Addresses, state: StateDirectory) -> bool:
    """A metadata request (version 1, for no topic), whose answer begins with the brokers: ours must be there."""
    client = b"bdemo-probe"
    request = struct.pack(f">hhih{len(client)}si", 3, 1, 1, len(client), client, 0)
    with round_trip.connect(addresses["kafka_port"]) as stream:
        stream.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", round_trip.read(stream, 4))
        if not 12 <= length <= 65_536:
            return False
        correlation, brokers = struct.unpack_from(">ii", round_trip.read(stream, length))
    return bool(correlation == 1 and brokers >= 1)


# -- what it must hold


def create_topics(brokers: Brokers, *, partitions: int = PARTITIONS, replication: int = 1) -> list[str]:
    """Creates the pipeline's topics that are missing and returns their names; never changes or deletes a topic.

    With copies on three brokers, two must have a record before it is acknowledged. Raises ServiceFailed.
    """
    from aiokafka.errors import KafkaError

    from backend_demo.adapters import kafka_refusal

    try:
        return asyncio.run(_create_topics(brokers, partitions, replication))
    except (KafkaError, OSError, TimeoutError) as problem:
        raise asyncio.run(kafka_refusal.refusal(brokers)) or ServiceFailed(
            f"cannot create the topics: {problem!r}", hint=f"check that Kafka answers at {brokers}"
        ) from problem


async def _create_topics(brokers: Brokers, partitions: int, replication: int) -> list[str]:
    from aiokafka.admin import NewTopic
    from aiokafka.errors import TopicAlreadyExistsError, for_code

    from backend_demo.adapters import kafka

    def topic(spec: TopicSpec) -> NewTopic:
        durable = {"min.insync.replicas": "2"} if replication > 2 else {}
        return NewTopic(spec.name, partitions, replication, topic_configs={**spec.config, **durable})

    async with kafka.admin(brokers, "bdemo-setup", limit_s=30.0, request_timeout_s=20.0) as admin:
        found = set(await admin.list_topics())
        missing = [spec for name, spec in TOPICS.items() if name not in found]
        if missing:
            answer = await admin.create_topics([topic(spec) for spec in missing])
            for name, code, *detail in answer.topic_errors:
                if code not in (0, TopicAlreadyExistsError.errno):
                    raise for_code(code)(f"{name}: {detail}")
    return [spec.name for spec in missing]


def _provision(access: ServerAccess) -> str | None:
    # the setting is for servers of the user's own, and for containers; the child process is a single broker
    from backend_demo.adapters.kafka import Brokers

    replication = 1 if access.state_dir else int(access.settings["topic_replication"])
    made = create_topics(Brokers(access.settings["kafka_bootstrap"]), replication=replication)
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
    probe=probe,
    background=_background,
    provision=_provision,
    may_lose=True,
    addresses=lambda saved, state, variables: {"kafka": saved["kafka_bootstrap"]},
    container=_container,
    client_settings={"kafka_bootstrap": inside("kafka")},
    variables=(Variable("KAFKA_VERSION", VERSION),),
)
