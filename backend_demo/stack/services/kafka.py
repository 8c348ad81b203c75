"""Kafka: one broker in KRaft mode, as a child process or a container, with the pipeline's topics."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from backend_demo.domain.topics import TOPICS
from backend_demo.stack.services import (
    kafka_container,
    kafka_data,
    kafka_jars,
    kafka_probe,
    kafka_rights,
    kafka_users,
)
from backend_demo.stack.services.kafka_rights import Right
from backend_demo.stack.services.kafka_settings import ACCESS, BROKER_SETTINGS, SCRAM_LOGIN
from backend_demo.stack.services.kafka_topics import create_topics
from backend_demo.stack.services.kafka_users import MECHANISM, PROTOCOL
from backend_demo.stack.services.postgres_newest import newest_reading
from backend_demo.stack.services.service import KeptData, OneShot, Passwords, Port, Program, ServerAccess, Service
from backend_demo.stack.state.files import write_private
from backend_demo.stack.state.secrets import KAFKA_ADMIN, KAFKA_READER

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.stack.state.directory import StateDirectory

#: The program that makes the start-up cache.
CACHE = "kafka-cache"

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


# -- as a child process


def prepare(settings: Settings, state: StateDirectory) -> Program:
    """Writes the configuration and formats a new data directory; returns the program that runs Kafka."""
    folder = state.path / "kafka"
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    kafka_users.format_data(data, node=1, cluster=kafka_users.random_id())
    passwords = {user: state.secrets.of(user) for user in users()}
    kafka_users.write_users(data, passwords, rights(settings.consumer_group_prefix))
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
                f'{SCRAM_LOGIN} username="{KAFKA_ADMIN}" password="{password}";'
            )
            for listener in ("client", "controller")
        },
        "sasl.mechanism.controller.protocol": MECHANISM,
        **ACCESS,
        **BROKER_SETTINGS,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def users() -> list[str]:
    """All that have a password in Kafka."""
    return [*KAFKA.users, *(each.kafka_user for each in _services() if each.kafka_user)]


def rights(group_prefix: str) -> set[Right]:
    """What they may do."""
    return kafka_rights.wanted(_services(), group_prefix)


def _services() -> Iterable[Service]:
    from backend_demo.stack.services.table import SERVICES  # which imports this module

    return SERVICES.values()


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
    brokers, to_grant = Brokers(access.settings["kafka_bootstrap"]), set[Right]()
    # a child process of an earlier version, which runs still, asks nobody
    if not access.state_dir or access.settings.get("kafka_security_protocol") == PROTOCOL:
        brokers = replace(brokers, protocol=PROTOCOL, username=KAFKA_ADMIN, password=access.password(KAFKA_ADMIN))
        to_grant = rights(access.settings["consumer_group_prefix"])
    made = create_topics(brokers, replication=replication, rights=to_grant, newest=partial(newest_reading, access))
    # without any, it is a new one
    return f"made again, empty: {', '.join(made)}" if made and len(made) < len(TOPICS) else None


#: The passwords of all users, for what writes them into the volume.
PASSWORDS = "passwords.json"


def _before_files(passwords: Passwords) -> dict[str, str]:
    return {PASSWORDS: json.dumps({user: passwords[user] for user in users()})}


KAFKA = Service(
    name="kafka",
    about="holds the topics",
    listens=(Port("kafka_port", "KAFKA_HOST_PORT"), Port("kafka_controller_port")),
    single="its data belong to a single process",
    users=(KAFKA_ADMIN, KAFKA_READER),
    programs=_programs,
    data=KeptData(
        folder="kafka/data",
        version=kafka_jars.VERSION,
        goes_on_with=kafka_data.goes_on_with,
        end_offsets=kafka_data.end_offsets,
    ),
    probe=kafka_probe.probe,
    background=_background,
    provision=_provision,
    may_lose=True,
    addresses=lambda saved, state, variables: {"kafka": saved["kafka_bootstrap"]},
    container=kafka_container.broker,
    before=OneShot("writes the users into the data", kafka_container.before, _before_files),
    client_settings={"kafka_bootstrap": kafka_container.inside("kafka")},
    secret_files=kafka_container.secret_files,
    image_user=True,
    variables=(kafka_container.VERSION,),
)
