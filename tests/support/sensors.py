"""Sensors that publish for one test, and the check that their readings and averages are exact."""

import itertools
import json
import threading
import time
from collections.abc import Iterable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from backend_demo.domain.average import average
from backend_demo.domain.reading import normalized
from backend_demo.settings import Settings
from tests.support.wait import eventually

#: Sensor numbers: no two tests of a process share one.
_numbers = itertools.count(1_000_000)


def new_sensor() -> int:
    return next(_numbers)


class Publisher:
    """Publishes with QoS 1 and records what was acknowledged."""

    def __init__(self, settings: Settings) -> None:
        self.acknowledged: dict[tuple[int, float], float] = {}
        self._open: dict[int, list[tuple[int, float, float]]] = {}
        self._early: set[int] = set()
        """Message ids that were acknowledged before `publish` returned."""
        self._lock = threading.Lock()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"test{next(_numbers)}", clean_session=False)
        self._client.username_pw_set(settings.mqtt_username, settings.mqtt_password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._on_publish
        self._client.max_inflight_messages_set(500)
        self._client.connect(settings.mqtt_host, settings.mqtt_port)
        self._client.loop_start()

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def reading(self, sensor: int, timestamp: float, value: float) -> None:
        payload = json.dumps({"value": value, "timestamp": timestamp}).encode()
        self.raw(f"sensors/{sensor}/temperature", payload, [(sensor, normalized(timestamp), value)])

    def raw(self, topic: str, payload: bytes, readings: Iterable[tuple[int, float, float]] = ()) -> None:
        mid = self._client.publish(topic, payload, qos=1).mid
        with self._lock:
            self._open[mid] = list(readings)
            if mid in self._early:
                self._early.discard(mid)
                self._acknowledge(mid)

    def settle(self, limit_s: float = 60) -> None:
        """Waits until everything is acknowledged."""
        eventually(lambda: not self._open, "PUBACK of all messages", limit_s)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._lock:
            if mid in self._open:
                self._acknowledge(mid)
            else:
                self._early.add(mid)

    def _acknowledge(self, mid: int) -> None:
        for sensor, timestamp, value in self._open.pop(mid):
            self.acknowledged.setdefault((sensor, timestamp), value)


def exact(sql: Any, expected: dict[tuple[int, float], float], window: int = 10, limit_s: float = 60) -> None:
    """Waits until the tables hold exactly these readings of their sensors, and exactly their averages."""
    sensors = sorted({sensor for sensor, _ in expected})

    def rows(table: str) -> dict[tuple[int, float], float]:
        found = sql(f"select sensor_num, timestamp, value from {table} where sensor_num = any($1::bigint[])", sensors)
        return {(row[0], row[1]): row[2] for row in found}

    averages = {}
    for sensor in sensors:
        times = sorted(timestamp for number, timestamp in expected if number == sensor)
        for i, timestamp in enumerate(times):
            last = [expected[sensor, t] for t in times[max(0, i + 1 - window) : i + 1]]
            averages[sensor, timestamp] = average(last)
    eventually(lambda: len(rows("temperature")) >= len(expected), "all readings in temperature", limit_s)
    assert rows("temperature") == expected
    deadline = time.monotonic() + limit_s
    while rows("average") != averages and time.monotonic() < deadline:
        time.sleep(0.2)
    assert rows("average") == averages
