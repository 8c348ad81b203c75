"""Who gets into the stack's own Kafka, and what each user may do there: the broker itself is asked."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import subprocess
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
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from backend_demo.adapters import kafka
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
from tests.support.kafka import brokers
from tests.support.ports import free_port, listens
from tests.support.wait import eventually


class MetadataResponse_v8(Response):
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", String()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("in_sync", Array(Int32)),
                        ("offline", Array(Int32)),
                    ),
                ),
                ("allowed", Int32),
            ),
        ),
        ("allowed_in_cluster", Int32),
    )


class MetadataRequest_v8(RequestStruct):
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse_v8
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("may_create", Boolean),
        ("with_operations_in_cluster", Boolean),
        ("with_operations", Boolean),
    )


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


class Metadata(Request[MetadataRequest_v8]):
    """What aiokafka does not ask for: which operations the broker's authorizer allows with each topic."""

    API_KEY = MetadataRequest_v8.API_KEY

    def build(self, request_struct_class: type[MetadataRequest_v8]) -> MetadataRequest_v8:
        return request_struct_class(list(TOPICS), False, False, True)


#: The bits of the answer.
OPERATIONS: dict[kafka_rights.Operation, int] = {"read": 1 << 3, "write": 1 << 4}


async def rights_of(user: str, server: Brokers) -> set[Right]:
    """What Kafka allows a user to do with the pipeline's topics and groups."""
    async with kafka.admin(server, "test", limit_s=60, request_timeout_s=20) as admin:
        answer = await admin._send_request(Metadata())
        topics = {
            Right(user, operation, "topic", name)
            for _, name, _, _, allowed in answer.topics
            for operation, bit in OPERATIONS.items()
            if allowed > 0 and allowed & bit
        }
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
        *(Right(user, operation, "topic", topic) for user in users for operation in OPERATIONS for topic in TOPICS),
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
