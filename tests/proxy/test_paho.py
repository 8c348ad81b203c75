"""paho, in both of its APIs and every version of MQTT: it publishes, and sees what it has published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.proxy import KafkaTopics, Login
from tests.support.wait import eventually

APIS = [CallbackAPIVersion.VERSION1, CallbackAPIVersion.VERSION2]
VERSIONS = [MQTTProtocolVersion.MQTTv31, MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5]

COUNT = 50


@contextmanager
def paho(login: Login, api: CallbackAPIVersion, version: int, password: str = "") -> Iterator[tuple[mqtt.Client, Any]]:
    """A client, and the code with which it was let in or not."""
    codes: list[Any] = []
    client = mqtt.Client(api, protocol=version)
    client.username_pw_set(login.username, password or login.password)
    client.on_connect = lambda *words: codes.append(words[3])
    client.connect(login.host, login.port)
    client.loop_start()
    try:
        yield client, eventually(lambda: codes, "an answer to CONNECT")[0]
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.filterwarnings("ignore:Callback API version 1:DeprecationWarning")
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("api", APIS, ids=lambda api: f"api{api.value}")
def test_readings_of_every_qos(
    login: Login, topics: KafkaTopics, topic: str, api: CallbackAPIVersion, version: MQTTProtocolVersion
) -> None:
    seen: list[tuple[int, bytes]] = []
    answered: list[int] = []
    sent = [f"{number} °C" for number in range(COUNT)]
    with paho(login, api, version) as (client, code):
        assert code == 0 or code == "Success"
        client.on_message = lambda client, userdata, message: seen.append((message.qos, message.payload))
        client.on_subscribe = lambda *words: answered.append(words[2])
        client.subscribe(topic, qos=1)
        eventually(lambda: answered, "SUBACK")
        for qos in (0, 1, 2):
            handles = [client.publish(topic, f"{qos} {text}", qos=qos) for text in sent]
            for handle in handles:
                handle.wait_for_publish(30)
        eventually(lambda: len(seen) == 3 * COUNT, "all messages are seen")
    expected = [f"{qos} {text}".encode() for qos in (0, 1, 2) for text in sent]
    assert seen == [(1, each) for each in expected]
    assert topics.payloads(topic) == expected


@pytest.mark.filterwarnings("ignore:Callback API version 1:DeprecationWarning")
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("api", APIS, ids=lambda api: f"api{api.value}")
def test_a_wrong_password(login: Login, api: CallbackAPIVersion, version: MQTTProtocolVersion) -> None:
    with paho(login, api, version, password="wrong") as (_, code):
        assert code == "Bad user name or password" or code == 4


def test_properties_and_reasons_of_mqtt_5(login: Login, topic: str) -> None:
    seen: list[Any] = []
    reasons: list[Any] = []
    with paho(login, CallbackAPIVersion.VERSION2, mqtt.MQTTv5) as (client, _):
        client.on_message = lambda client, userdata, message: seen.append(message)
        client.on_publish = lambda client, userdata, mid, reason, properties: reasons.append(str(reason))
        client.on_subscribe = lambda *words: reasons.append(str(words[3][0]))
        with_identifier = Properties(PacketTypes.SUBSCRIBE)
        with_identifier.SubscriptionIdentifier = 77
        client.subscribe(topic, options=mqtt.SubscribeOptions(1), properties=with_identifier)
        # one that is granted is answered when Kafka is read, one that is refused at once
        eventually(lambda: reasons, "SUBACK")
        client.subscribe(f"$share/group/{topic}")
        eventually(lambda: len(reasons) == 2, "SUBACK")
        given = Properties(PacketTypes.PUBLISH)
        given.ContentType = "application/json"
        given.UserProperty = [("unit", "°C"), ("unit", "K")]
        given.CorrelationData = b"\0\xff"
        given.ResponseTopic = "sensors/answer"
        client.publish(topic, "21", qos=1, properties=given).wait_for_publish(30)
        client.publish("elsewhere", "21", qos=1).wait_for_publish(30)
        (message,) = eventually(lambda: seen, "the message is seen")
    assert reasons == ["Granted QoS 1", "Shared subscription not supported", "Success", "Topic name invalid"]
    shown = message.properties
    assert (shown.ContentType, shown.CorrelationData, shown.ResponseTopic) == (
        *("application/json", b"\0\xff", "sensors/answer"),
    )
    assert shown.UserProperty == [("unit", "°C"), ("unit", "K")]
    assert shown.SubscriptionIdentifier == [77]
