"""Who gets into the stack's own Kafka, and what each user may do there: the broker itself is asked."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.new_topic import NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    TopicAuthorizationFailedError,
    for_code,
)

from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.topics import AGGREGATED_DATA, PROCESSED_DATA, SENSOR_DATA, TOPICS
from backend_demo.errors import ServiceFailed
from backend_demo.operations.kafka_log import partitions_of
from backend_demo.settings import Settings
from backend_demo.stack.embedded.stack import EmbeddedStack
from backend_demo.stack.services import kafka as kafka_service
from backend_demo.stack.services import kafka_rights, kafka_users
from backend_demo.stack.services.kafka_rights import Right
from backend_demo.stack.services.table import SERVICES
from backend_demo.stack.state.secrets import KAFKA_ADMIN, KAFKA_READER
from tests.support.kafka import brokers, environment
from tests.support.kafka_access import (
    FORGED,
    STRANGERS,
    assert_rights,
    is_closed,
    records_of,
    rights_of,
    topic_is_there,
)
from tests.support.ports import free_port, listens
from tests.support.wait import eventually


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


def test_every_user_may_do_what_the_table_says_and_no_more(as_user: Callable[[str], Brokers]) -> None:
    assert_rights(as_user)


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


@pytest.mark.parametrize(("changes", "said"), STRANGERS)
def test_without_a_user_nobody_gets_in(as_user: Callable[[str], Brokers], changes: dict[str, str], said: str) -> None:
    stranger = replace(as_user(KAFKA_READER), **changes)  # type: ignore[arg-type]
    with pytest.raises(ServiceFailed, match=said):
        asyncio.run(partitions_of(stranger))


@pytest.mark.parametrize("port", ["kafka_port", "kafka_controller_port"])
@pytest.mark.parametrize("sent", FORGED.values(), ids=FORGED)
def test_requests_of_strangers_are_not_read(stack: EmbeddedStack, port: str, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", stack.state.record.settings()[port]), 10) as stream:
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
    kafka_users.write_users(data, {}, set())
    (data / "bdemo-users.json").unlink()
    with (folder / "kafka" / "server.properties").open("a") as more:
        more.write("listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT\nauthorizer.class.name=\n")
    earlier = Brokers(f"127.0.0.1:{port}")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(program.command, cwd=folder, stdout=log, stderr=log)
        try:
            eventually(lambda: listens(port), "Kafka", 60)
            eventually(lambda: topic_is_there(earlier), "its topic", 60)
        finally:
            process.kill()
            process.wait()
    try:
        stack.up(("kafka",), lambda status: None)
        assert asyncio.run(records_of(brokers(stack.state.attached(Settings(), kafka=KAFKA_READER)))) == [b"kept"]
    finally:
        stack.down(wipe=True)
