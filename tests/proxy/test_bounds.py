"""What a client may ask of the proxy: each bound is a setting, and each is reached here."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from backend_demo.mqtt.codec.encoder import encode
from backend_demo.mqtt.codec.packets import Connect, ConnectCode, Disconnect, Packet, Property, ReasonCode
from tests.proxy.conftest import SMALL
from tests.support.mqtt_client import MqttClient
from tests.support.proxy import KafkaTopics, Login, ProxyProcess
from tests.support.wait import eventually

CONNECTIONS = int(SMALL["mqtt_connections"])


@contextlib.contextmanager
def opened(login: Login, count: int) -> Iterator[list[MqttClient]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(login.raw()) for _ in range(count)]


def reason(packets: list[Packet]) -> int:
    """The reason of the DISCONNECT that ends a connection of MQTT 5."""
    assert isinstance(packets[-1], Disconnect), packets
    return packets[-1].reason


def none_open(small: ProxyProcess) -> None:
    eventually(lambda: small.metric("bdemo_mqtt_connections") == 0, "no connection is left")


def test_connections(small: ProxyProcess, small_login: Login) -> None:
    none_open(small)
    with opened(small_login, CONNECTIONS) as clients:
        assert [client.connect(5, **small_login.words).code for client in clients] == [0] * CONNECTIONS
        with small_login.raw() as more:
            assert more.connect(5, **small_login.words).code == ReasonCode.SERVER_BUSY
        with small_login.raw() as more:
            assert more.connect(4, **small_login.words).code == ConnectCode.SERVER_UNAVAILABLE
        clients[0].ping()
        clients[0].disconnect()
        eventually(lambda: small.metric("bdemo_mqtt_connections") < CONNECTIONS, "there is room")
        with small_login.client(5) as client:
            client.ping()


def test_far_too_many_connections_are_cut_off(small: ProxyProcess, small_login: Login) -> None:
    none_open(small)
    with opened(small_login, CONNECTIONS + 130) as clients:
        for client in clients[-20:]:
            assert client.until_closed(5) == []
        assert small.metric("bdemo_mqtt_connections") <= CONNECTIONS + 100


@pytest.mark.parametrize("begun", [b"", b"\x10", b"\x10\x20\x00\x04MQTT"])
def test_half_open_connections(small_login: Login, begun: bytes) -> None:
    with small_login.raw() as client:
        client.send_raw(begun)
        begin = time.monotonic()
        assert client.until_closed(8) == []
        assert time.monotonic() - begin > 1


def test_a_connect_that_comes_byte_by_byte(small_login: Login) -> None:
    with small_login.raw() as client:
        sent = encode(Connect(4, "slow", username="a" * 200), 4)
        with contextlib.suppress(OSError):
            for number in range(len(sent)):
                client.send_raw(sent[number : number + 1])
                time.sleep(0.1)
            pytest.fail("the proxy waited for all of it")


@pytest.mark.parametrize("level", [4, 5])
def test_a_packet_that_does_not_end(small_login: Login, topic: str, level: int) -> None:
    with small_login.client(level) as client:
        packet = encode(client.message(topic, bytes(1000), qos=1), level)
        begin = time.monotonic()
        client.send_raw(packet[:10])
        with contextlib.suppress(OSError):
            for number in range(10, 110):
                client.send_raw(packet[number : number + 1])
                time.sleep(0.1)
            pytest.fail("the proxy waited for all of it")
        assert 1 < time.monotonic() - begin < 8


def test_silence_beyond_the_keep_alive(small_login: Login) -> None:
    with small_login.client(5, keep_alive_s=1) as client, small_login.client(4, keep_alive_s=0) as patient:
        begin = time.monotonic()
        assert reason(client.until_closed()) == ReasonCode.KEEP_ALIVE_TIMEOUT
        assert 1.4 < time.monotonic() - begin < 6
        patient.ping()


def test_the_longest_keep_alive(small_login: Login) -> None:
    for asked in (0, 6, 65_535):
        with small_login.raw() as client:
            answer = client.connect(5, keep_alive_s=asked, **small_login.words)
            assert answer.properties[Property.SERVER_KEEP_ALIVE] == SMALL["mqtt_keep_alive_max_s"]


def test_packets(small_login: Login, topics: KafkaTopics, topic: str) -> None:
    with small_login.raw() as client:
        allowed = client.connect(5, **small_login.words).properties[Property.MAXIMUM_PACKET_SIZE]
        assert allowed == SMALL["mqtt_packet_bytes"]
        client.send(client.message(topic, bytes(allowed)))
        assert reason(client.until_closed()) == ReasonCode.PACKET_TOO_LARGE
    with small_login.client(4) as client:
        client.publish(topic, bytes(allowed))
        client.publish(topic, "21")
    assert topics.payloads(topic) == [b"21"]


@pytest.mark.parametrize("size", [70_000, 200_000_000])
def test_a_connect_that_is_too_large(small_login: Login, size: int) -> None:
    with small_login.raw() as client:
        length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21])
        client.send_raw(b"\x10" + length + b"\0\x04MQTT")
        assert client.until_closed(1) == []  # at once


def test_payloads(small_login: Login, topic: str) -> None:
    with small_login.client(5) as client:
        most = int(SMALL["max_payload_bytes"])
        answers = [client.publish(topic, bytes(size)) for size in (most, most + 1)]
    assert [answer.reason for answer in answers if answer] == [0, ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR]


def test_topics(small_login: Login) -> None:
    with small_login.client(5) as client:
        most = int(SMALL["mqtt_topic_bytes"])
        answers = [client.publish("/" * size, "21") for size in (most, most + 1)]
    assert [answer.reason for answer in answers if answer] == [0, ReasonCode.TOPIC_NAME_INVALID]


def test_topic_aliases(small_login: Login, topic: str) -> None:
    with small_login.client(5) as client:
        assert client.publish(topic, "21", properties={Property.TOPIC_ALIAS: 3})
        client.send(client.message(topic, "21", properties={Property.TOPIC_ALIAS: 4}))
        assert reason(client.until_closed()) == ReasonCode.TOPIC_ALIAS_INVALID


def test_subscriptions(small_login: Login) -> None:
    with small_login.client(5) as client, small_login.client(4) as old:
        assert client.subscribe("a", "b", "c", "d", "a").codes == [0, 0, 0, ReasonCode.QUOTA_EXCEEDED, 0]
        client.unsubscribe("b")
        assert client.subscribe("d").codes == [0]
        assert old.subscribe("a", "b", "c", "d").codes == [0, 0, 0, 0x80]


def test_messages_in_flight(small_login: Login, topics: KafkaTopics, topic: str) -> None:
    """A client of MQTT 3 is read more slowly, one of MQTT 5 was told its bound."""
    with small_login.client(4) as old:
        messages = [old.message(topic, str(number), qos=1 + number % 2) for number in range(300)]
        old.send(*messages)
        for message in messages:
            old.acknowledgement(message.mid)
    assert len(topics.payloads(topic)) == 300
    with small_login.client(5) as client:
        client.send(*(client.message(topic, "21") for _ in range(int(SMALL["mqtt_in_flight"]) + 1)))
        assert reason(client.until_closed()) == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


@pytest.mark.parametrize("qos", [0, 1])
def test_a_slow_subscriber_is_dropped_and_publishers_do_not_notice(
    small: ProxyProcess, small_login: Login, topics: KafkaTopics, topic: str, qos: int
) -> None:
    dropped = small.metric("bdemo_mqtt_subscribers_dropped_total")
    with small_login.client(4) as slow, small_login.client(4) as good, small_login.client(4) as client:
        slow.subscribe(topic, qos=qos)
        good.subscribe(topic, qos=qos)
        slowest, sent = 0.0, 0
        deadline = time.monotonic() + 40
        while small.metric("bdemo_mqtt_subscribers_dropped_total") == dropped:
            assert time.monotonic() < deadline, "it was not dropped"
            for _ in range(200):
                begin = time.monotonic()
                client.publish(topic, bytes(16_000))
                slowest = max(slowest, time.monotonic() - begin)
            sent += 200
            for _ in range(200):
                good.next_message()
        assert slowest < 2
        assert small.metric("bdemo_mqtt_subscribers_dropped_total") == dropped + 1
        good.ping()
    assert len(topics.payloads(topic)) == sent
