"""Who gets into a stack's own Kafka and what each user may do there, on either stack: the broker itself is asked."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.new_topic import NewTopic
from aiokafka.errors import GroupAuthorizationFailedError, GroupCoordinatorNotAvailableError, KafkaError

from backend_demo.adapters import kafka, kafka_allowed
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.topics import PARTITIONS, SENSOR_DATA, TOPICS
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.compose.project import Project, image
from backend_demo.stack.services import kafka as kafka_service
from backend_demo.stack.services import kafka_rights
from backend_demo.stack.services.kafka_rights import Right
from backend_demo.stack.services.table import SERVICES
from backend_demo.stack.state.secrets import KAFKA_ADMIN

# -- rights


GROUPS = [each.name for each in SERVICES.values() if each.kafka_rights and each.kafka_rights.group]
BITS: dict[kafka_rights.Operation, int] = {"read": kafka_allowed.READ, "write": kafka_allowed.WRITE}


def assert_rights(as_user: Callable[[str], Brokers]) -> None:
    """Every user may do what the table says, and no more."""
    users = kafka_service.users()
    every = {
        *(Right(user, operation, "topic", topic) for user in users for operation in BITS for topic in TOPICS),
        *(Right(user, "read", "group", group) for user in users for group in GROUPS),
    }
    wanted = kafka_rights.wanted(SERVICES.values(), "")
    of_all = {right[:3] for right in wanted if right.name == kafka_rights.EVERY}
    allowed = {right for right in every if right.user == KAFKA_ADMIN or right in wanted or right[:3] in of_all}
    assert set().union(*(asyncio.run(rights_of(user, as_user(user))) for user in users)) == allowed


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


# -- strangers


#: What they change of a user's login, and what they are told.
STRANGERS: list[tuple[dict[str, str], str]] = [
    ({"protocol": "PLAINTEXT", "username": "", "password": ""}, "asks for a user"),
    ({"password": "guessed"}, "refuses user 'kafka-reader', or the password"),
    ({"username": "nobody"}, "refuses user 'nobody', or the password"),
    ({"mechanism": "PLAIN"}, "does not have PLAIN"),
]


def request(api: int, version: int, body: bytes) -> bytes:
    head = struct.pack(">hhih", api, version, 1, 4) + b"evil"
    return struct.pack(">i", len(head) + len(body)) + head + body


#: A voter that claims to lead: one of these ended the controller when everybody could send it.
BEGIN_QUORUM_EPOCH = (
    struct.pack(">hi", -1, 1)
    + struct.pack(">h", 18)
    + b"__cluster_metadata"
    + struct.pack(">iiii", 1, 0, 99, 1_000_000)
)

#: Which everybody may ask for.
API_VERSIONS = request(18, 0, b"")

FORGED = {
    "BeginQuorumEpoch": request(53, 0, BEGIN_QUORUM_EPOCH),
    "Metadata": request(3, 1, struct.pack(">i", 0)),
    "Produce": request(0, 3, b"\xff" * 64),
    "ApiVersions and BeginQuorumEpoch": API_VERSIONS + request(53, 0, BEGIN_QUORUM_EPOCH),
}


def is_closed(stream: socket.socket, sent: bytes) -> bool:
    """Whether the other side ends the connection because of what is sent, and answers nothing but API_VERSIONS."""
    try:
        if sent.startswith(API_VERSIONS):
            stream.sendall(API_VERSIONS)
            (length,) = struct.unpack(">i", stream.recv(4, socket.MSG_WAITALL))
            stream.recv(length, socket.MSG_WAITALL)
            sent = sent.removeprefix(API_VERSIONS)
        stream.sendall(sent)
        return stream.recv(1) == b""
    except ConnectionError:
        return True


#: A container that belongs to nobody: what each port answers, and whether that of the health check can be reached.
_CONTAINER = """
import json, socket, sys
host, ports, requests = json.loads(sys.argv[1])
answers = {}
for port in ports:
    for name, request in requests.items():
        with socket.create_connection((host, port), 10) as stream:
            try:
                stream.sendall(bytes.fromhex(request))
                answers[f"{port} {name}"] = stream.recv(1).hex()
            except ConnectionError:
                answers[f"{port} {name}"] = ""
try:
    socket.create_connection((host, 19094), 10).close()
    health = "open"
except ConnectionRefusedError:
    health = "closed"
print(json.dumps({"answers": answers, "health": health}))
"""


def strange_container(project: Project, host: str, ports: Collection[int]) -> dict[str, Any]:
    """What a container in the network of a compose stack is answered by that broker."""
    sent = {name: value.hex() for name, value in FORGED.items() if not value.startswith(API_VERSIONS)}
    sent["100 MB"] = (struct.pack(">i", 100_000_000) + bytes(1000)).hex()
    said = compose_docker.ask(
        *("run", "--rm", "--network", f"{project.name}_default", image()),
        *("python", "-c", _CONTAINER, json.dumps([host, list(ports), sent])),
    )
    found: dict[str, Any] = json.loads(said)
    return found


# -- a topic of an earlier version, with a record


def topic_is_there(server: Brokers) -> bool:
    """Makes it; False while the server cannot."""

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
    """Its record."""
    async with AIOKafkaConsumer(**server.connection(), auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(SENSOR_DATA, 0)])
        return [(await asyncio.wait_for(consumer.getone(), 30)).value]
