"""What is refused: MQTT 5 learns the reason, MQTT 3 gets an acknowledgement, and each leaves a dead letter."""

from __future__ import annotations

import json
import time

import pytest

from backend_demo.mqtt.codec.encoder import encode
from backend_demo.mqtt.codec.packets import (
    Ack,
    ConnectCode,
    Disconnect,
    PacketType,
    Property,
    Publish,
    ReasonCode,
    Subscription,
)
from backend_demo.mqtt.users_file import Rights
from backend_demo.settings import Settings
from backend_demo.stack.mqtt_users import users_of
from tests.support.mqtt_client import MqttClient
from tests.support.proxy import KafkaTopics, Login
from tests.support.shell import Shell

READING = b'{"value": 21.5, "timestamp": 1700000000}'


@pytest.fixture
def limited(settings: Settings, login: Login, topic: str) -> Login:
    """A user who may publish to one topic and subscribe to it."""
    name = f"limited-{time.monotonic_ns()}"
    return Login(login.host, login.port, name, users_of(settings.state_dir).add(name, Rights((topic,), (topic,))))


def disconnected(client: MqttClient) -> ReasonCode:
    """The reason with which the proxy ends a connection of MQTT 5."""
    last = client.until_closed()[-1]
    assert isinstance(last, Disconnect), last
    return ReasonCode(last.reason)


# -- a message is refused


@pytest.mark.parametrize("qos", [1, 2])
def test_topics_of_others(limited: Login, topics: KafkaTopics, topic: str, qos: int) -> None:
    other = f"{topic}/other"
    with limited.client(5) as client:
        answer = client.publish(other, READING, qos=qos)
        assert answer is not None
        assert answer.reason == ReasonCode.NOT_AUTHORIZED
        assert other in answer.properties[Property.REASON_STRING]
        answer = client.publish(topic, READING, qos=qos)
        assert answer is not None
        assert answer.reason == ReasonCode.SUCCESS
    with limited.client(4) as client:
        answer = client.publish(other, READING, qos=qos)
        assert answer is not None
        assert answer.kind is (PacketType.PUBACK if qos == 1 else PacketType.PUBCOMP)
    assert [each.reason for each in topics.dead_letters([other])] == ["rights", "rights"]
    assert topics.payloads(topic) == [READING]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("elsewhere/7/temperature", ReasonCode.TOPIC_NAME_INVALID),  # outside mqtt_filters
        ("sensors/+/temperature", ReasonCode.TOPIC_NAME_INVALID),
        ("sensors/7/#", ReasonCode.TOPIC_NAME_INVALID),
        (b"sensors/\xff/temperature", ReasonCode.TOPIC_NAME_INVALID),
        (b"sensors/\0/temperature", ReasonCode.TOPIC_NAME_INVALID),
        ("sensors/" + 1100 * "7", ReasonCode.TOPIC_NAME_INVALID),
        ("sensors/" + 65_000 * "\x01", ReasonCode.TOPIC_NAME_INVALID),
    ],
)
def test_topics_that_hold_no_readings(
    login: Login, topics: KafkaTopics, name: str | bytes, code: ReasonCode, topic: str
) -> None:
    before = len(topics.dead_letters([name[:50_000]]))
    for level in (5, 4):
        with login.client(level) as client:
            answer = client.publish(name, READING)
            assert answer is not None
            assert answer.reason == (code if level == 5 else 0)
            assert client.publish(topic, READING) is not None  # the connection goes on
    letters = topics.dead_letters([name[:50_000]])[before:]
    assert [(each.reason, each.value) for each in letters] == [("topic", READING)] * 2


def test_an_empty_topic(login: Login, topics: KafkaTopics, topic: str) -> None:
    with login.client(4) as client:
        assert client.publish("", READING) is not None
        assert client.publish(topic, READING) is not None
    assert topics.payloads(topic) == [READING]


@pytest.mark.parametrize("qos", [1, 2])
def test_payloads_that_are_too_large(login: Login, topics: KafkaTopics, topic: str, qos: int) -> None:
    large = bytes(20_000)
    for level in (5, 4, 3):
        with login.client(level) as client:
            answer = client.publish(topic, large, qos=qos)
            assert answer is not None
            assert answer.reason == (ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR if level == 5 else 0)
    assert [(each.reason, each.value) for each in topics.dead_letters([topic])] == [("size", large)] * 3


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_packets_that_are_too_large_do_not_hold_back_what_is_behind_them(
    login: Login, topics: KafkaTopics, topic: str, qos: int
) -> None:
    large = 300_000 * b"x"
    with login.client(4) as client:
        client.publish(topic, large, qos=qos)
        client.publish(topic, READING, qos=1)
    assert topics.payloads(topic) == [READING]
    (letter,) = topics.dead_letters([topic])
    assert letter.reason == "size"
    assert large.startswith(letter.value)
    assert len(letter.value) >= 1000
    with login.client(5) as client:
        client.send_raw(encode(client.message(topic, large, qos=qos), 5)[:1000])  # before its end has come
        assert disconnected(client) == ReasonCode.PACKET_TOO_LARGE


def test_payloads_that_are_not_what_they_are_called(login: Login, topics: KafkaTopics, topic: str) -> None:
    with login.client(5) as client:
        called = {Property.PAYLOAD_FORMAT_INDICATOR: 1}
        answer = client.publish(topic, b"\xff\xfe", properties=called)
        assert answer is not None
        assert answer.reason == ReasonCode.PAYLOAD_FORMAT_INVALID
        answer = client.publish(topic, "21°", properties=called)
        assert answer is not None
        assert answer.reason == ReasonCode.SUCCESS
    assert topics.payloads(topic) == ["21°".encode()]
    assert [each.value for each in topics.dead_letters([topic])] == [b"\xff\xfe"]


def test_properties_that_do_not_fit_into_a_record(login: Login, topics: KafkaTopics, topic: str) -> None:
    """Written as headers, control characters take six times their size: more than Kafka takes at all."""
    pairs = [("\x01" * 40_000, "\x02" * 40_000)] * 3
    with login.client(5) as client:
        answer = client.publish(topic, READING, properties={Property.USER_PROPERTY: pairs})
        assert answer is not None
        assert answer.reason == ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR
        answer = client.publish(topic, READING, properties={Property.USER_PROPERTY: [("a", "b")]})
        assert answer is not None
        assert answer.reason == ReasonCode.SUCCESS
    assert topics.payloads(topic) == [READING]
    assert [each.reason for each in topics.dead_letters([topic])] == ["size"]


def test_the_largest_refused_message_is_written(login: Login, topics: KafkaTopics) -> None:
    name = time.monotonic_ns().to_bytes(8) + b"\xff" * 65_527
    with login.client(4) as client:
        assert client.publish(name, bytes(196_000)) is not None
    assert [each.reason for each in topics.dead_letters([name[:50_000]])] == ["topic"]


@pytest.mark.parametrize(
    "name", ["sensors/my kitchen/temperature", "sensors/küche ☕ 𝄞/температура", "/1/temp", "sensors//"]
)
def test_any_other_topic(login: Login, topics: KafkaTopics, name: str) -> None:
    mine = f"{name}/{time.monotonic_ns()}"
    for level in (3, 4, 5):
        with login.client(level) as client:
            answer = client.publish(mine, READING)
            assert answer is not None
            assert answer.reason == 0
    assert topics.payloads(mine) == [READING] * 3


# -- a client is refused


@pytest.mark.parametrize("level", [3, 4, 5])
@pytest.mark.parametrize(
    ("changed", "code", "old_code"),
    [
        ({"password": "wrong"}, ReasonCode.BAD_USER_NAME_OR_PASSWORD, ConnectCode.BAD_USER_NAME_OR_PASSWORD),
        ({"password": None}, ReasonCode.BAD_USER_NAME_OR_PASSWORD, ConnectCode.BAD_USER_NAME_OR_PASSWORD),
        ({"username": "nobody"}, ReasonCode.BAD_USER_NAME_OR_PASSWORD, ConnectCode.BAD_USER_NAME_OR_PASSWORD),
        ({"username": None, "password": None}, ReasonCode.NOT_AUTHORIZED, ConnectCode.NOT_AUTHORIZED),
    ],
)
def test_who_is_not_let_in(
    login: Login, level: int, changed: dict[str, str | None], code: ReasonCode, old_code: ConnectCode
) -> None:
    with login.raw() as client:
        assert client.connect(level, **{**login.words, **changed}).code == (code if level == 5 else old_code)
        assert client.until_closed() == []


@pytest.mark.parametrize("version", [2, 6, 9, 0x84])
def test_unknown_versions(login: Login, version: int) -> None:
    with login.raw() as client:
        client.send_raw(bytes([0x10, 12, 0, 4, *b"MQTT", version, 2, 0, 60, 0, 0]))
        assert client.socket.recv(100)[:4] in (b"\x20\x02\x00\x01", b"\x20\x03\x00\x84")
        assert client.until_closed() == []


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\x10\x0c\x00\x04AMQP\x04\x02\x00\x3c\x00\x00"],
)
def test_other_protocols(login: Login, data: bytes) -> None:
    with login.raw() as client:
        client.send_raw(data)
        client.until_closed(5)


# -- a connection ends


def test_a_client_id_that_comes_again_takes_over(login: Login) -> None:
    with login.client(5, client_id="twin") as first, login.client(4, client_id="twin") as second:
        assert disconnected(first) == ReasonCode.SESSION_TAKEN_OVER
        second.ping()


def test_a_client_id_takes_nothing_from_another_user(login: Login, limited: Login) -> None:
    with login.client(5, client_id="twin") as first, limited.client(5, client_id="twin") as second:
        first.ping()
        second.ping()


@pytest.mark.parametrize("qos", [1, 2])
def test_more_messages_than_the_receive_maximum(login: Login, topic: str, qos: int) -> None:
    with login.raw() as client:
        allowed = client.connect(5, **login.words).properties[Property.RECEIVE_MAXIMUM]
        client.send(*(client.message(topic, READING, qos=qos) for _ in range(allowed + 1)))
        assert disconnected(client) == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


@pytest.mark.parametrize("level", [3, 4, 5])
def test_as_many_messages_of_qos_2_as_the_receive_maximum(
    login: Login, topics: KafkaTopics, topic: str, level: int
) -> None:
    """All are released at the end: before it, the proxy must not wait for it, nor count a message twice."""
    count = 1000
    with login.client(level) as client:
        messages = [client.message(topic, b"%d" % number, qos=2) for number in range(count)]
        client.send(*messages)
        for message in messages:
            assert client.acknowledgement(message.mid).reason == 0
        client.send(*(Ack(PacketType.PUBREL, message.mid) for message in messages))
        for message in messages:
            assert client.acknowledgement(message.mid) == Ack(PacketType.PUBCOMP, message.mid)
        assert client.publish(topic, b"last", qos=2) is not None
    assert topics.payloads(topic) == [*(b"%d" % number for number in range(count)), b"last"]


def test_qos_2_that_comes_again_is_one_message(login: Login, topics: KafkaTopics, topic: str) -> None:
    with login.client(4) as client:
        message = client.message(topic, READING, qos=2)
        again = Publish(message.topic, message.payload, 2, message.mid, dup=True)
        client.send(message, again)
        for _ in range(2):
            assert client.acknowledgement(message.mid).kind is PacketType.PUBREC
        client.send(again)
        assert client.acknowledgement(message.mid).kind is PacketType.PUBREC
        client.send(Ack(PacketType.PUBREL, message.mid))
        assert client.acknowledgement(message.mid).kind is PacketType.PUBCOMP
    assert topics.payloads(topic) == [READING]


def test_shared_subscriptions_and_invalid_filters(login: Login, limited: Login, topic: str) -> None:
    wanted = ["$share/group/sensors/#", "sensors/#/x", "sensors/a+", topic]
    with login.client(5) as client:
        assert client.subscribe(*wanted, qos=2).codes == [0x9E, 0x8F, 0x8F, 1]
    with login.client(4) as client:
        assert client.subscribe(*wanted).codes == [0x80, 0x80, 0x80, 0]
    with limited.client(5) as client:
        assert client.subscribe("#", Subscription(topic, 1)).codes == [ReasonCode.NOT_AUTHORIZED, 1]
        assert client.unsubscribe(topic, "never").codes == [0, ReasonCode.NO_SUBSCRIPTION_EXISTED]


# -- rights


def test_users_that_are_added_and_removed_at_once(settings: Settings, login: Login, topic: str) -> None:
    bdemo, name = Shell(settings.state_dir), f"user-{time.monotonic_ns()}"
    said = bdemo("mqtt", "user", "add", name, "--publish", topic, "--output", "json").stdout
    user = Login(login.host, login.port, name, json.loads(said)["password"])
    with user.client(5) as client, user.client(4) as old, login.client(5) as other:
        assert client.publish(topic, READING) is not None
        assert client.subscribe(topic).codes == [ReasonCode.NOT_AUTHORIZED]
        bdemo("mqtt", "user", "rm", name)
        assert disconnected(client) == ReasonCode.NOT_AUTHORIZED
        assert old.until_closed() == []
        with user.raw() as again:
            assert again.connect(5, **user.words).code == ReasonCode.BAD_USER_NAME_OR_PASSWORD
        other.ping()
