"""MQTT over WebSocket, as a browser speaks it, with a client that nobody here wrote."""

import json
import time
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from backend_demo.domain.reading import normalized
from backend_demo.settings import Settings
from tests.support.sensors import exact
from tests.support.wait import eventually

COUNT = 200


def connected(settings: Settings, password: str) -> tuple[mqtt.Client, list[str]]:
    """A client, and the reasons with which it was answered."""
    answers: list[str] = []
    gateway = urlsplit(settings.gateway_url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, transport="websockets")
    client.ws_set_options(path="/mqtt")
    client.username_pw_set(settings.mqtt_username, password)
    client.on_connect = lambda client, userdata, flags, reason, properties: answers.append(str(reason))
    assert gateway.hostname is not None
    client.connect(gateway.hostname, gateway.port or 80)
    client.loop_start()
    return client, answers


def test_readings_by_websocket(settings: Settings, sensor: int, sql: Any) -> None:
    client, answers = connected(settings, settings.mqtt_password)
    begin = time.time() - COUNT
    rows = {(sensor, normalized(begin + number)): float(number % 50) for number in range(COUNT)}
    try:
        eventually(lambda: answers == ["Success"], "it is connected")
        sent = [
            client.publish(f"sensors/{sensor}/temperature", json.dumps({"value": value, "timestamp": timestamp}), qos=1)
            for (_, timestamp), value in rows.items()
        ]
        eventually(lambda: all(message.is_published() for message in sent), "PUBACK of all messages")
    finally:
        client.disconnect()
        client.loop_stop()
    exact(sql, rows)


def test_the_listener_checks_the_password(settings: Settings) -> None:
    client, answers = connected(settings, "wrong")
    try:
        eventually(lambda: bool(answers), "it is answered")
        assert answers[0] != "Success"
    finally:
        client.disconnect()
        client.loop_stop()
