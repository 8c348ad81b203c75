"""Who gets into the Kafka of a stack of containers, and what each user may do there."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from backend_demo.adapters.kafka import Brokers
from backend_demo.errors import ServiceFailed
from backend_demo.operations.kafka_log import partitions_of
from backend_demo.settings import Settings
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.services import kafka as kafka_service
from backend_demo.stack.state.secrets import KAFKA_READER
from tests.compose.conftest import Bdemo
from tests.support.engine import needs_engine
from tests.support.kafka import brokers
from tests.support.kafka_access import (
    FORGED,
    STRANGERS,
    assert_rights,
    is_closed,
    records_of,
    request,
    strange_container,
    topic_is_there,
)
from tests.support.ports import free_port
from tests.support.wait import eventually

pytestmark = needs_engine

#: Ports of the broker that other containers reach: of the host's clients, of containers, of controllers.
PORTS = (9092, 19092, 9093)


@pytest.fixture(scope="module")
def bdemo(opened: Callable[..., Bdemo], tmp_path_factory: pytest.TempPathFactory) -> Bdemo:
    """Kafka, PostgreSQL, which is provisioned with it, and a service: the others run in test_containers.py."""
    bdemo = opened(tmp_path_factory.mktemp("access") / "state")
    bdemo.up("processing")
    return bdemo


def as_user(bdemo: Bdemo, user: str) -> Brokers:
    return brokers(bdemo.stack.state.attached(Settings(), kafka=user))


def test_every_user_may_do_what_the_table_says_and_no_more(bdemo: Bdemo) -> None:
    assert_rights(lambda user: as_user(bdemo, user))


@pytest.mark.parametrize(("changes", "said"), STRANGERS)
def test_without_a_user_nobody_gets_in(bdemo: Bdemo, changes: dict[str, str], said: str) -> None:
    stranger = replace(as_user(bdemo, KAFKA_READER), **changes)  # type: ignore[arg-type]
    with pytest.raises(ServiceFailed, match=said):
        asyncio.run(partitions_of(stranger))


@pytest.mark.parametrize("sent", FORGED.values(), ids=FORGED)
def test_requests_of_strangers_on_this_machine_are_not_read(bdemo: Bdemo, sent: bytes) -> None:
    port = bdemo.stack.state.record.settings()["kafka_port"]
    with socket.create_connection(("127.0.0.1", port), 10) as stream:
        assert is_closed(stream, sent)


def test_requests_of_strange_containers_are_not_read(bdemo: Bdemo) -> None:
    found = strange_container(bdemo.stack.project, "kafka", PORTS)
    assert {port.split()[0] for port in found["answers"]} == set(map(str, PORTS))
    assert set(found["answers"].values()) == {""}
    assert found["health"] == "closed"


def test_who_reaches_the_port_of_the_health_check_may_do_nothing(bdemo: Bdemo) -> None:
    """From within the broker's container: it is told of no topic, and may make none."""

    def answer(sent: bytes) -> bytes:
        written = "".join(f"\\x{byte:02x}" for byte in sent)
        read = "timeout 9 dd bs=65536 count=1 <&3 | od -An -v -tx1"
        ask = f"exec 3<>/dev/tcp/127.0.0.1/19094 && printf '{written}' >&3 && {read}"
        said = compose_docker.ask("exec", bdemo.containers()["kafka"].id, "bash", "-c", ask)
        return bytes.fromhex("".join(said.split()))

    every_topic = answer(request(3, 1, struct.pack(">i", -1)))
    assert b"kafka" in every_topic  # the broker
    assert b"sensor-data" not in every_topic
    name = struct.pack(">h", 4) + b"mine"
    one_topic = name + struct.pack(">ihii", 1, 1, 0, 0)
    made = answer(request(19, 2, struct.pack(">i", 1) + one_topic + struct.pack(">i?", 5000, False)))
    assert name + struct.pack(">h", TopicAuthorizationFailedError.errno) in made


def test_no_password_of_kafka_is_in_an_argument_an_environment_or_a_log(bdemo: Bdemo) -> None:
    every = json.loads(bdemo.stack.state.compose_secrets_file.read_text())
    passwords = {user: every[user] for user in kafka_service.users()}
    seen = {}
    for name, container in bdemo.containers().items():
        seen[name] = compose_docker.ask("inspect", container.id) + compose_docker.ask("logs", container.id, both=True)
        for process in compose_docker.ask("top", container.id, "-o", "pid").split()[1:] if container.runs else ():
            for part in ("cmdline", "environ"):
                seen[f"{name} {process} {part}"] = Path(f"/proc/{process}/{part}").read_text(errors="replace")
    assert len(seen) > len(bdemo.containers())
    assert not {name: user for name, text in seen.items() for user, secret in passwords.items() if secret in text}


# -- data of an earlier version


def test_data_from_before_there_were_users_are_taken_over(bdemo: Bdemo) -> None:
    """A broker that asked nobody made them, and was killed."""
    bdemo("down")
    volume = next(name for name in bdemo.volumes() if name.endswith("kafka-data"))
    broker = bdemo.stack.project.services["kafka"]
    mount = f"{volume}:/var/lib/kafka/data"
    empty = "rm -r /var/lib/kafka/data/* /var/lib/kafka/data/.[a-z]*"
    compose_docker.ask("run", "--rm", "-v", mount, broker["image"], "bash", "-c", empty)
    port = free_port()
    earlier = {
        "LISTENERS": "EXTERNAL://:9092,CONTROLLER://:9093",
        "ADVERTISED_LISTENERS": f"EXTERNAL://127.0.0.1:{port}",
        "LISTENER_SECURITY_PROTOCOL_MAP": "EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "INTER_BROKER_LISTENER_NAME": "EXTERNAL",
        "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "PROCESS_ROLES": "broker,controller",
        "NODE_ID": "1",
        "LOG_DIRS": "/var/lib/kafka/data",
        "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    }
    variables = [word for name, value in earlier.items() for word in ("-e", f"KAFKA_{name}={value}")]
    made = compose_docker.ask("run", "-d", "-v", mount, "-p", f"127.0.0.1:{port}:9092", *variables, broker["image"])
    try:
        eventually(lambda: topic_is_there(Brokers(f"127.0.0.1:{port}")), "its topic", 90)
    finally:
        compose_docker.ask("rm", "--force", made.strip())
    bdemo.up("processing")
    assert asyncio.run(records_of(as_user(bdemo, KAFKA_READER))) == [b"kept"]
