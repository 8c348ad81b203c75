"""Who gets into the stack's own Kafka, and what each user may do there: the broker itself is asked."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.new_topic import NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    KafkaError,
    TopicAuthorizationFailedError,
    for_code,
)

from backend_demo.adapters import kafka, kafka_allowed
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.topics import AGGREGATED_DATA, PARTITIONS, PROCESSED_DATA, SENSOR_DATA, TOPICS
from backend_demo.errors import ServiceFailed
from backend_demo.operations.kafka_log import partitions_of
from backend_demo.settings import Settings
from backend_demo.stack.embedded.stack import EmbeddedStack
from backend_demo.stack.services import kafka as kafka_service
from backend_demo.stack.services import kafka_jars, kafka_rights
from backend_demo.stack.services.kafka_rights import Right
from backend_demo.stack.services.kafka_users import BOOTSTRAP
from backend_demo.stack.services.table import SERVICES
from backend_demo.stack.state.secrets import KAFKA_ADMIN, KAFKA_READER
from tests.support.kafka import brokers, environment
from tests.support.ports import free_port, listens
from tests.support.wait import eventually

GROUPS = [each.name for each in SERVICES.values() if each.kafka_rights and each.kafka_rights.group]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    folder = tmp_path_factory.mktemp("access") / "state"
    stack = EmbeddedStack(folder, Settings(state_dir=folder), any_port=True)
    try:
        stack.up(("kafka",), lambda status: None)
        yield stack
        assert {each.name: each.restarts for each in stack.status() if each.name == "kafka"} == {"kafka": 0}
    finally:
        stack.down(wipe=True)


@pytest.fixture(scope="module")
def as_user(stack: EmbeddedStack) -> Callable[[str], Brokers]:
    return lambda user: brokers(stack.state.attached(Settings(), kafka=user))


# -- what each user may do, and nothing else


BITS: dict[kafka_rights.Operation, int] = {"read": kafka_allowed.READ, "write": kafka_allowed.WRITE}


async def rights_of(user: str, server: Brokers) -> set[Right]:
    """What Kafka allows a user to do with the pipeline's topics and groups."""
    allowed = await kafka_allowed.operations(server, TOPICS)
    assert allowed.keys() == TOPICS.keys()
    topics = {
        Right(user, operation, "topic", name)
        for name, bits in allowed.items()
        for operation, bit in BITS.items()
        if bits & bit
    }
    async with kafka.admin(server, "test", limit_s=60, request_timeout_s=20) as admin:
        return topics | {Right(user, "read", "group", group) for group in GROUPS if await may_read_as(admin, group)}


async def may_read_as(admin: AIOKafkaAdminClient, group: str) -> bool:
    while True:
        try:
            await admin.list_consumer_group_offsets(group)
        except GroupAuthorizationFailedError:
            return False
        except GroupCoordinatorNotAvailableError:  # nobody has used a group before
            await asyncio.sleep(0.2)
        else:
            return True


def test_every_user_may_do_what_the_table_says_and_no_more(as_user: Callable[[str], Brokers]) -> None:
    users = kafka_service.users()
    every = {
        *(Right(user, operation, "topic", topic) for user in users for operation in BITS for topic in TOPICS),
        *(Right(user, "read", "group", group) for user in users for group in GROUPS),
    }
    wanted = kafka_rights.wanted(SERVICES.values(), "")
    of_all = {right[:3] for right in wanted if right.name == kafka_rights.EVERY}
    allowed = {right for right in every if right.user == KAFKA_ADMIN or right in wanted or right[:3] in of_all}
    assert set().union(*(asyncio.run(rights_of(user, as_user(user))) for user in users)) == allowed


async def alter(admin: AIOKafkaAdminClient, kind: ConfigResourceType, name: str, key: str, value: str) -> None:
    for answer in await admin.alter_configs([ConfigResource(kind, name, {key: value})]):
        for code, message, *_ in answer.resources:
            if code:
                raise for_code(code)(message)


async def create(admin: AIOKafkaAdminClient) -> None:
    answer = await admin.create_topics([NewTopic("of-somebody", 1, 1)])
    if code := answer.topic_errors[0][1]:
        raise for_code(code)


async def delete(admin: AIOKafkaAdminClient) -> None:
    answer = await admin.delete_topics([SENSOR_DATA])
    if code := answer.topic_error_codes[0][1]:
        raise for_code(code)


CHANGES: dict[str, Callable[[AIOKafkaAdminClient], Awaitable[None]]] = {
    "open a listener": lambda admin: alter(
        admin, ConfigResourceType.BROKER, "1", "listeners", "CLIENT://0.0.0.0:1,CONTROLLER://127.0.0.1:2"
    ),
    "forget readings": lambda admin: alter(admin, ConfigResourceType.TOPIC, SENSOR_DATA, "retention.ms", "1"),
    "create a topic": create,
    "delete a topic": delete,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("user", [KAFKA_READER, "kafka-aggregation"])
def test_only_the_administrator_changes_kafka(as_user: Callable[[str], Brokers], user: str, change: str) -> None:
    async def attempt() -> None:
        async with kafka.admin(as_user(user), "test", limit_s=30, request_timeout_s=20) as admin:
            await CHANGES[change](admin)

    with pytest.raises((ClusterAuthorizationFailedError, TopicAuthorizationFailedError)):
        asyncio.run(attempt())
    assert set(asyncio.run(partitions_of(as_user(KAFKA_ADMIN)))) - {"__consumer_offsets"} == set(TOPICS)


def test_a_service_without_a_right_says_which(as_user: Callable[[str], Brokers], tmp_path: Path) -> None:
    """It would wait for ever: Kafka's answers are those of rights that may come yet."""
    done = subprocess.run(
        [sys.executable, "-m", "backend_demo", "run", "processing", "--standalone"],
        env={
            **os.environ,
            **environment(as_user(KAFKA_READER)),
            "BDEMO_STATE_DIR": str(tmp_path),
            "BDEMO_PROCESSING_STATS_PORT": str(free_port()),
        },
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    assert done.returncode == ServiceFailed.exit_code
    assert "Kafka does not allow kafka-reader to write processed-data, dead-letter" in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_forges_what_a_stage_has_made(as_user: Callable[[str], Brokers]) -> None:
    """Of all users, one may write readings and one averages, where a forged `repair` would stop every average."""
    wanted = kafka_rights.wanted(SERVICES.values(), "")
    writers = {topic: [r.user for r in wanted if r[1:] == ("write", "topic", topic)] for topic in TOPICS}
    assert (writers[PROCESSED_DATA], writers[AGGREGATED_DATA]) == (["kafka-processing"], ["kafka-aggregation"])


def test_rights_that_a_user_no_longer_needs_are_taken_away(as_user: Callable[[str], Brokers]) -> None:
    old = Right("kafka-bridge", "read", "topic", PROCESSED_DATA)
    of_the_owner = Right("somebody", "read", "topic", PROCESSED_DATA)
    now = kafka_rights.wanted(SERVICES.values(), "")

    async def after(rights: set[Right]) -> set[Right]:
        async with kafka.admin(as_user(KAFKA_ADMIN), "test", limit_s=30, request_timeout_s=20) as admin:
            await kafka_rights.grant(admin, rights)
        return await rights_of("kafka-bridge", as_user("kafka-bridge"))

    assert asyncio.run(after(now | {old, of_the_owner})) - asyncio.run(after(now)) == {old}


# -- who gets in


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"protocol": "PLAINTEXT", "username": "", "password": ""}, "asks for a user"),
        ({"password": "guessed"}, "refuses user 'kafka-reader', or the password"),
        ({"username": "nobody"}, "refuses user 'nobody', or the password"),
        ({"mechanism": "PLAIN"}, "does not have PLAIN"),
    ],
)
def test_without_a_user_nobody_gets_in(as_user: Callable[[str], Brokers], changes: dict[str, str], said: str) -> None:
    stranger = replace(as_user(KAFKA_READER), **changes)  # type: ignore[arg-type]
    with pytest.raises(ServiceFailed, match=said):
        asyncio.run(partitions_of(stranger))


def request(api: int, version: int, body: bytes) -> bytes:
    head = struct.pack(">hhih", api, version, 1, 4) + b"evil"
    return struct.pack(">i", len(head) + len(body)) + head + body


def is_closed(stream: socket.socket, sent: bytes) -> bool:
    """Whether the other side ends the connection because of what is sent, and answers nothing."""
    try:
        stream.sendall(sent)
        return stream.recv(1) == b""
    except ConnectionError:
        return True


#: A voter that claims to lead: one of these ended the controller when everybody could send it.
BEGIN_QUORUM_EPOCH = (
    struct.pack(">hi", -1, 1)
    + struct.pack(">h", 18)
    + b"__cluster_metadata"
    + struct.pack(">iiii", 1, 0, 99, 1_000_000)
)


@pytest.mark.parametrize("port", ["kafka_port", "kafka_controller_port"])
@pytest.mark.parametrize(
    "sent",
    [
        request(53, 0, BEGIN_QUORUM_EPOCH),
        request(3, 1, struct.pack(">i", 0)),  # Metadata
        request(0, 3, b"\xff" * 64),  # Produce
        request(18, 0, b"") + request(53, 0, BEGIN_QUORUM_EPOCH),
    ],
    ids=["BeginQuorumEpoch", "Metadata", "Produce", "ApiVersions and BeginQuorumEpoch"],
)
def test_requests_of_strangers_are_not_read(stack: EmbeddedStack, port: str, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", stack.state.record.settings()[port]), 10) as stream:
        if sent.startswith(request(18, 0, b"")):  # which everybody may ask for
            stream.sendall(request(18, 0, b""))
            (length,) = struct.unpack(">i", stream.recv(4, socket.MSG_WAITALL))
            stream.recv(length, socket.MSG_WAITALL)
            sent = sent.removeprefix(request(18, 0, b""))
        assert is_closed(stream, sent)


@pytest.mark.parametrize("port", ["kafka_port", "kafka_controller_port"])
def test_no_memory_is_set_aside_for_strangers(stack: EmbeddedStack, port: str) -> None:
    """Ten connections with a length of 100 MB each ended in OutOfMemoryError."""
    address = ("127.0.0.1", stack.state.record.settings()[port])
    for _ in range(20):
        with socket.create_connection(address, 10) as stream:
            assert is_closed(stream, struct.pack(">i", 100_000_000) + bytes(1000))


def test_the_password_is_in_files_of_the_owner_only(stack: EmbeddedStack) -> None:
    password = stack.state.secrets.of(KAFKA_ADMIN).encode()
    holders = [path for path in stack.state.path.rglob("*") if path.is_file() and password in path.read_bytes()]
    assert {path.name for path in holders} == {"secrets.json", "server.properties"}
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}


# -- data of an earlier version


def test_a_kafka_from_before_there_were_users_is_given_them(tmp_path: Path) -> None:
    """Its topics and records stay. It was killed, and is started as `up` starts it."""
    folder = tmp_path / "state"
    stack = EmbeddedStack(folder, Settings(state_dir=folder), any_port=True)
    stack.state.create(kafka_service.users())
    port = free_port()
    program = kafka_service.prepare(
        Settings(state_dir=folder, kafka_port=port, kafka_controller_port=free_port()), stack.state
    )
    data = folder / "kafka" / "data"
    (data / "bdemo-users.json").unlink()
    shutil.copy(kafka_jars.home() / BOOTSTRAP, data)
    with (folder / "kafka" / "server.properties").open("a") as more:
        more.write("listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT\nauthorizer.class.name=\n")
    earlier = Brokers(f"127.0.0.1:{port}")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(program.command, cwd=folder, stdout=log, stderr=log)
        try:
            eventually(lambda: listens(port), "Kafka", 60)
            eventually(lambda: topics_are_there(earlier), "its topic", 60)
        finally:
            process.kill()
            process.wait()
    try:
        stack.up(("kafka",), lambda status: None)
        assert asyncio.run(records_of(brokers(stack.state.attached(Settings(), kafka=KAFKA_READER)))) == [b"kept"]
    finally:
        stack.down(wipe=True)


def topics_are_there(server: Brokers) -> bool:
    async def write() -> None:
        async with kafka.admin(server, "test", limit_s=30, request_timeout_s=20) as admin:
            await admin.create_topics([NewTopic(SENSOR_DATA, PARTITIONS, 1)])
        async with AIOKafkaProducer(**server.connection(), acks="all") as producer:
            await producer.send_and_wait(SENSOR_DATA, b"kept", partition=0)

    try:
        asyncio.run(write())
    except KafkaError:
        return False
    return True


async def records_of(server: Brokers) -> list[bytes | None]:
    async with AIOKafkaConsumer(**server.connection(), auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(SENSOR_DATA, 0)])
        return [(await asyncio.wait_for(consumer.getone(), 30)).value]
