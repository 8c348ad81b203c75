"""What the servers hold and whom they let in."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import uuid
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from backend_demo.domain.topics import TOPICS
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.services.kafka import create_topics
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import MqttUser, PostgresUser
from tests.support.kafka import brokers
from tests.support.services import pid_of


@pytest.fixture
def state(stack: Stack, settings: Settings) -> StateDirectory:
    return StateDirectory(settings.state_dir)


class Client:
    """An MQTT client that has connected, or was refused."""

    def __init__(self, settings: Settings, user: str, password: str) -> None:
        self.received: list[bytes] = []
        self.subscribed: list[int] = []
        self.reason: Any = None
        self._done = threading.Event()
        self._acknowledged = threading.Event()
        self._arrived = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.username_pw_set(user, password)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message
        self.client.connect(settings.mqtt_host, settings.mqtt_port)
        self.client.loop_start()
        assert self._done.wait(10)

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.reason = reason
        self._done.set()

    def _on_subscribe(self, client: Any, userdata: Any, mid: int, reasons: list[Any], properties: Any) -> None:
        self.subscribed = [reason.value for reason in reasons]
        self._acknowledged.set()

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        self.received.append(message.payload)
        self._arrived.set()

    def subscribe(self, topic: str) -> bool:
        self.client.subscribe(topic, 1)
        assert self._acknowledged.wait(10)
        return all(code < 128 for code in self.subscribed)

    def publish(self, topic: str, payload: bytes) -> None:
        self.client.publish(topic, payload, 1).wait_for_publish(10)

    def gets(self, payload: bytes, limit_s: float) -> bool:
        self._arrived.wait(limit_s)
        return payload in self.received

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def connect(settings: Settings, state: StateDirectory) -> Any:
    clients: list[Client] = []

    def open_as(user: MqttUser, password: str | None = None) -> Client:
        clients.append(Client(settings, user, state.secrets.of(user) if password is None else password))
        return clients[-1]

    yield open_as
    for client in clients:
        client.close()


def test_mqtt_asks_for_the_password(connect: Any) -> None:
    assert connect("sensor", "wrong").reason.is_failure
    assert connect("sensor", "").reason.is_failure
    assert not connect("sensor").reason.is_failure


@pytest.mark.parametrize("topic", ["sensors/7/temperature", "/sensor7/temp"])
def test_a_sensor_publishes_and_an_observer_sees_it(connect: Any, topic: str) -> None:
    observer = connect("observer")
    assert observer.subscribe("/#" if topic.startswith("/") else "sensors/#")
    connect("sensor").publish(topic, b"seen")
    assert observer.gets(b"seen", 10)


def test_an_observer_may_subscribe_to_everything_and_publish_nothing(connect: Any) -> None:
    observer = connect("observer")
    assert observer.subscribe("#")
    observer.publish("sensors/7/temperature", b"forged")
    assert not observer.gets(b"forged", 1)


def test_a_sensor_may_not_subscribe(connect: Any) -> None:
    assert not connect("sensor").subscribe("sensors/#")


def test_every_topic_is_there_as_it_should_be(settings: Settings, stack: Stack) -> None:
    async def look() -> tuple[dict[str, int], dict[str, str]]:
        admin = AIOKafkaAdminClient(**brokers(settings).connection())
        await admin.start()
        try:
            described = await admin.describe_topics(list(TOPICS))
            partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
            answer = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "aggregation-state")])
            return partitions, {entry[0]: entry[1] for entry in answer[0].resources[0][4]}
        finally:
            await admin.close()

    partitions, configuration = asyncio.run(look())
    assert partitions == {name: spec.partitions for name, spec in TOPICS.items()}
    assert configuration["cleanup.policy"] == "compact"


@pytest.mark.parametrize(("sent", "stored"), [("lz4", "uncompressed"), (None, "lz4")])
def test_lz4_is_read_and_written(settings: Settings, stack: Stack, sent: str | None, stored: str) -> None:
    """The embedded Kafka has another lz4 than its release: it unpacks what a client packed, and the other way round."""
    topic = f"packed-{uuid.uuid4()}"
    values = [f"{number} ".encode() * 500 for number in range(200)]

    async def there_and_back() -> list[bytes | None]:
        connection = brokers(settings).connection()
        admin = AIOKafkaAdminClient(**connection)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"compression.type": stored})])
            async with AIOKafkaProducer(**connection, compression_type=sent) as producer:
                await asyncio.gather(*[await producer.send(topic, value) for value in values])
            async with AIOKafkaConsumer(topic, **connection, auto_offset_reset="earliest") as consumer:
                return [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in values]
        finally:
            await admin.delete_topics([topic])
            await admin.close()

    assert asyncio.run(there_and_back()) == values


def test_topics_are_made_once(settings: Settings, stack: Stack) -> None:
    assert create_topics(brokers(settings)) == []


def test_kafka_s_jvm_gets_the_options_of_the_settings(settings: Settings, stack: Stack) -> None:
    file = settings.state_dir / "kafka" / "java.arguments"  # of the embedded one, too long for a command line
    given = file.read_text() if file.exists() else Path(f"/proc/{pid_of(stack, 'kafka')}/cmdline").read_text()
    assert settings.kafka_jvm_options
    assert set(settings.kafka_jvm_options) <= set(re.split(r'["\n\0 ]', given))


@pytest.mark.parametrize("user", ["bdemo", "bdemo_loader", "bdemo_reader", "postgres"])
@pytest.mark.parametrize("password", ["wrong", ""])
def test_postgres_asks_for_the_password(state: StateDirectory, user: str, password: str) -> None:
    port = state.record.settings()["postgres_port"]
    sockets = [str(state.sockets / "postgres")] if state.record.kind() == "embedded" else []
    for host in ("127.0.0.1", *sockets):
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(
                asyncpg.connect(host=host, port=port, user=user, password=password, database="temperature", ssl=False)
            )


@pytest.mark.parametrize("user", ["bdemo", "bdemo_loader", "bdemo_reader"])
@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_a_role_enters_no_other_database(state: StateDirectory, user: PostgresUser, database: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        asyncio.run(asyncpg.connect(state.postgres_dsn(user), database=database))


def test_readings_are_stored_while_readers_take_all_connections(state: StateDirectory) -> None:
    async def crowd() -> None:
        async with contextlib.AsyncExitStack() as taken:

            async def connect(user: PostgresUser) -> None:
                connection = await asyncpg.connect(state.postgres_dsn(user))
                taken.push_async_callback(connection.close)

            async def fill() -> None:
                while True:
                    await connect("bdemo_reader")

            with pytest.raises(asyncpg.TooManyConnectionsError):
                await fill()
            await connect("bdemo")
            await connect("bdemo_loader")

    asyncio.run(crowd())


@pytest.mark.parametrize(
    "statement",
    [
        "delete from temperature",
        "truncate average",
        "drop table fence",
        "alter table temperature add column mine int",
        "create table mine (i int)",
        "create temporary table mine (i int)",
        "create role mine",
        "select pg_terminate_backend(1)",
    ],
)
def test_the_loader_adds_rows_and_removes_nothing(state: StateDirectory, statement: str) -> None:
    """Its rows are those of every test; here is what it may not do."""

    async def attempt() -> None:
        connection = await asyncpg.connect(state.postgres_dsn("bdemo_loader"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        asyncio.run(attempt())


def test_the_reader_reads_and_writes_nothing(state: StateDirectory) -> None:
    async def both() -> None:
        connection = await asyncpg.connect(state.postgres_dsn("bdemo_reader"))
        try:
            await connection.fetch("select * from temperature limit 1")
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await connection.execute("delete from temperature")
            await connection.execute("set default_transaction_read_only = off")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("delete from temperature")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("create table mine (i int)")
        finally:
            await connection.close()

    asyncio.run(both())
