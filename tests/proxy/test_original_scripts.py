"""What the scripts of the original project do: publish.py sends integers at QoS 0, subscribe.py shows `/+/temp`."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.proxy import KafkaTopics, Login
from tests.support.wait import eventually


def client_of(login: Login, on_connect: Callable[..., None] | None = None) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION1, client_id=f"script{random.random()}")  # type: ignore[arg-type]
    client.username_pw_set(login.username, login.password)
    client.on_connect = on_connect
    client.connect(login.host, login.port)
    client.loop_start()
    return client


def test_publish_and_subscribe(login: Login, topics: KafkaTopics) -> None:
    """The topic is the original's: others publish there, too, so the values are what this test has made up."""
    lines: list[tuple[str, str, str]] = []
    subscribed: list[int] = []

    def print_line(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        lines.append((time.strftime("%H:%M:%S"), message.topic, message.payload.decode()))

    def subscribe(client: mqtt.Client, *words: Any) -> None:
        client.subscribe("/+/temp")

    subscriber = client_of(login, subscribe)
    subscriber.on_message = print_line
    subscriber.on_subscribe = lambda *words: subscribed.append(1)
    eventually(lambda: subscribed, "it has subscribed")
    publisher = client_of(login)
    sent = []
    for _ in range(5):
        payload = json.dumps({"timestamp": str(int(time.time())), "value": str(random.randint(20, 30))})
        publisher.publish("/sensor1/temp", payload)
        sent.append(payload)
    try:
        eventually(lambda: len(lines) == 5, "it has printed all")
    finally:
        for client in (publisher, subscriber):
            client.disconnect()
            client.loop_stop()
    assert [(topic, payload) for _, topic, payload in lines] == [("/sensor1/temp", each) for each in sent]
    assert topics.payloads("/sensor1/temp")[-5:] == [each.encode() for each in sent]
