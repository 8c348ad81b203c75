"""What travels with a message through Kafka to those who subscribe: properties, aliases, identifiers, wills."""

from __future__ import annotations

from typing import Any

import pytest

from backend_demo.mqtt.codec.packets import (
    Ack,
    Disconnect,
    PacketType,
    Properties,
    Property,
    Publish,
    ReasonCode,
    Subscription,
    Will,
)
from tests.support.proxy import KafkaTopics, Login
from tests.support.wait import eventually

GIVEN: Properties = {
    Property.PAYLOAD_FORMAT_INDICATOR: 1,
    Property.MESSAGE_EXPIRY_INTERVAL: 3600,
    Property.CONTENT_TYPE: "application/json",
    Property.RESPONSE_TOPIC: "sensors/answers",
    Property.CORRELATION_DATA: b"\0\xff",
    Property.USER_PROPERTY: [("unit", "°C"), ("unit", "K"), ("", "\x01")],
}


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_travel_as_headers(login: Login, topics: KafkaTopics, topic: str, qos: int) -> None:
    with login.client(5) as subscriber, login.client(4) as old, login.client(5) as client:
        assert subscriber.subscribe(topic, qos=1).codes == [1]
        old.subscribe(topic)
        client.publish(topic, "21", qos=qos, properties=GIVEN)
        shown = subscriber.next_message()
        assert (shown.payload, shown.qos, shown.properties) == (b"21", 1, GIVEN)
        assert old.next_message() == Publish(topic.encode(), b"21")
    (record,) = topics.readings([topic])
    assert record.headers == {
        "mqtt-payload-format": [b"1"],
        "mqtt-message-expiry": [b"3600"],
        "mqtt-content-type": [b"application/json"],
        "mqtt-response-topic": [b"sensors/answers"],
        "mqtt-correlation-data": [b"\0\xff"],
        "mqtt-user-property": ['["unit","°C"]'.encode(), b'["unit","K"]', b'["","\\u0001"]'],
    }


def test_topic_aliases_of_a_publisher(login: Login, topics: KafkaTopics, topic: str) -> None:
    other = f"{topic}/other"
    with login.raw() as client:
        most = client.connect(5, **login.words).properties[Property.TOPIC_ALIAS_MAXIMUM]
        named = [(topic, 1), ("", 1), (other, most), ("", most), ("", 1), (topic, most), ("", most)]
        for number, (name, alias) in enumerate(named):
            answer = client.publish(name, str(number), properties={Property.TOPIC_ALIAS: alias})
            assert answer is not None
            assert answer.reason == 0
    assert topics.payloads(topic) == [b"0", b"1", b"4", b"5", b"6"]
    assert topics.payloads(other) == [b"2", b"3"]


@pytest.mark.parametrize(
    ("alias", "code"),
    [
        (0, ReasonCode.TOPIC_ALIAS_INVALID),
        (33, ReasonCode.TOPIC_ALIAS_INVALID),
        (65_535, ReasonCode.TOPIC_ALIAS_INVALID),
        (7, ReasonCode.PROTOCOL_ERROR),  # never set
    ],
)
def test_invalid_topic_aliases(login: Login, alias: int, code: ReasonCode) -> None:
    with login.client(5) as client:
        # by hand: the encoder refuses alias 0
        client.send_raw(b"\x30\x06\x00\x00\x03\x23" + alias.to_bytes(2, "big"))
        last = client.until_closed()[-1]
        assert isinstance(last, Disconnect)
        assert last.reason in {code, ReasonCode.PROTOCOL_ERROR if not alias else code}


def test_an_alias_of_a_topic_that_is_refused(login: Login, topics: KafkaTopics) -> None:
    with login.client(5) as client:
        for name in ("elsewhere", ""):
            answer = client.publish(name, "21", properties={Property.TOPIC_ALIAS: 1})
            assert answer is not None
            assert answer.reason == ReasonCode.TOPIC_NAME_INVALID


def test_topic_aliases_and_packet_sizes_of_a_subscriber(login: Login, topic: str) -> None:
    """The first message, which names the topic, is too large for the client: the second one must name it, too."""
    limits = {Property.TOPIC_ALIAS_MAXIMUM: 1, Property.MAXIMUM_PACKET_SIZE: 200}
    with login.client(5, properties=limits) as subscriber, login.client(5) as client:
        subscriber.subscribe(f"{topic}/#", qos=1)
        for payload in (300 * "x", "1", "2"):
            client.publish(topic, payload)
        shown = [subscriber.next_message() for _ in range(2)]
        client.publish(f"{topic}/other", "3")  # only now: order holds within a topic
        shown.append(subscriber.next_message())
    assert [(each.topic.decode(), each.payload) for each in shown] == [
        *((topic, b"1"), ("", b"2")),
        (f"{topic}/other", b"3"),
    ]
    assert [each.properties.get(Property.TOPIC_ALIAS) for each in shown] == [1, 1, None]


def test_the_receive_maximum_of_a_subscriber(login: Login, topic: str) -> None:
    with login.client(5, properties={Property.RECEIVE_MAXIMUM: 2}) as subscriber, login.client(4) as client:
        subscriber.subscribe(topic, qos=1)
        for number in range(5):
            client.publish(topic, str(number))
        first = [subscriber.next_message(acknowledge=False) for _ in range(2)]
        with pytest.raises(TimeoutError):
            subscriber.next_message(0.5)
        subscriber.send(*(Ack(PacketType.PUBACK, each.mid) for each in first))
        assert [subscriber.next_message().payload for _ in range(3)] == [b"2", b"3", b"4"]


def test_subscription_identifiers(login: Login, topic: str) -> None:
    with login.client(5) as subscriber, login.client(4) as client:
        for name, number in ((topic, 1), (f"{topic}/#", 268_435_455), ("sensors/never", 3)):
            subscriber.subscribe(name, properties={Property.SUBSCRIPTION_IDENTIFIER: [number]})
        subscriber.subscribe(f"{topic}/other")
        client.publish(topic, "21")
        client.publish(f"{topic}/other", "22")
        shown = [subscriber.next_message() for _ in range(2)]
    found = [sorted(each.properties.get(Property.SUBSCRIPTION_IDENTIFIER, [])) for each in shown]
    assert sorted(found) == [[1, 268_435_455], [268_435_455]]


def test_overlapping_subscriptions_show_a_message_once(login: Login, topic: str) -> None:
    with login.client(4) as subscriber, login.client(4) as client:
        subscriber.subscribe(Subscription(f"{topic}/#", 0), Subscription(topic, 1))
        subscriber.subscribe(Subscription(topic, 1))
        client.publish(topic, "21")
        client.publish(topic, "22")
        assert [(each.qos, each.payload) for each in (subscriber.next_message(), subscriber.next_message())] == [
            *((1, b"21"), (1, b"22"))
        ]
        subscriber.unsubscribe(f"{topic}/#", topic)
        client.publish(topic, "23")
        with pytest.raises(TimeoutError):
            subscriber.next_message(0.7)


def test_a_client_that_wants_nothing_of_its_own_gets_what_others_publish(login: Login, topic: str) -> None:
    """No Local: what bridges between brokers need, so that no message goes round for ever."""
    with login.client(5) as client, login.client(5) as other:
        client.publish(topic, "20")  # before, over the short way of a known topic
        client.subscribe(Subscription(f"{topic}/#", 1, no_local=True))
        other.subscribe(Subscription(topic, 1))
        client.publish(topic, "21")
        other.publish(topic, "22")
        assert client.next_message().payload == b"22"
        assert [other.next_message().payload for _ in range(2)] == [b"21", b"22"]
        client.subscribe(Subscription(topic, 0))  # another subscription that matches, and wants all
        client.publish(topic, "23")
        shown = client.next_message()
        assert (shown.payload, shown.qos) == (b"23", 0)


# -- wills


def closes(client: Any) -> None:
    client.close()


def disconnects_with_will(client: Any) -> None:
    client.disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE)


def breaks_the_protocol(client: Any) -> None:
    client.send_raw(b"\x00\x00")
    client.until_closed()


@pytest.mark.parametrize("end", [closes, disconnects_with_will, breaks_the_protocol])
def test_wills_of_clients_that_are_gone(login: Login, topics: KafkaTopics, topic: str, end: Any) -> None:
    will = Will(topic, b"off", properties={Property.CONTENT_TYPE: "text/plain"})
    with login.client(4) as subscriber, login.client(5, will=will) as client:
        subscriber.subscribe(topic)
        end(client)
        assert subscriber.next_message().payload == b"off"
    (record,) = topics.readings([topic])
    assert record.headers == {"mqtt-content-type": [b"text/plain"]}


@pytest.mark.parametrize("level", [3, 4, 5])
def test_no_will_after_disconnect(login: Login, topics: KafkaTopics, topic: str, level: int) -> None:
    with login.client(level, will=Will(topic, b"off", qos=2)) as client:
        client.disconnect()
    with login.client(level) as other:
        other.publish(topic, "on")
    assert topics.payloads(topic) == [b"on"]


def test_a_will_that_may_not_be_published_is_a_dead_letter(login: Login, topics: KafkaTopics, topic: str) -> None:
    with login.client(4, will=Will(f"elsewhere/{topic}", b"off")) as client:
        client.close()
    letters = eventually(lambda: topics.dead_letters([f"elsewhere/{topic}"]), "the dead letter")
    assert [(each.reason, each.value) for each in letters] == [("topic", b"off")]
