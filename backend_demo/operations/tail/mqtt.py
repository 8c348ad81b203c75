"""Reads MQTT messages as they pass, through a subscription of its own: the pipeline misses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from backend_demo.adapters import mqtt
from backend_demo.adapters.mqtt import CONNECT_TIMEOUT_S, RECONNECT_S, Broker
from backend_demo.adapters.mqtt_failures import refused, unusable
from backend_demo.errors import ServiceFailed, UsageError
from backend_demo.mqtt.filters import filter_problem

#: How long one poll waits for a message, seconds.
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """One MQTT message as it was received."""

    topic: str
    payload: bytes
    received: float
    """Epoch seconds."""
    qos: int
    retain: bool


def tail(
    broker: Broker, filters: Sequence[str], *, wanted: Callable[[bytes], bool], notify: Callable[[str], None]
) -> Generator[list[MqttMessage], None, None]:
    """The wanted messages that match a filter, from now on; an empty batch about twice a second while none comes.

    `wanted`: whether those on a topic are. Continues after an outage; `notify` receives what the user should know.
    Raises UsageError, ServiceFailed.
    """
    for given in filters:
        check_filter(given)
    subscription = _Subscription(broker, filters)
    try:
        try:
            subscription.connect()
        except OSError as problem:
            raise unusable(broker, problem) from problem
        while True:
            try:
                came = subscription.poll()
            except OSError:
                notify("waiting for the MQTT broker")
                _reconnect(subscription)
                notify("the MQTT broker is back")
                continue
            yield [message for message in came if wanted(message.topic.encode(errors="replace"))]
    finally:
        subscription.close()


def check_filter(given: str) -> None:
    """Raises UsageError for an invalid topic filter."""
    if problem := filter_problem(given):
        shown = repr(given if len(given) <= 60 else f"{given[:60]}...")
        raise UsageError(f"invalid MQTT topic filter {shown}", hint=f"{problem}; for example 'sensors/+/temperature'")


def _reconnect(subscription: _Subscription) -> None:
    while True:
        try:
            subscription.connect()
        except OSError:
            time.sleep(RECONNECT_S)
        else:
            return


class _Subscription:
    """Filters at a broker, over one connection.

    paho runs in the caller's thread: what a callback raises ends the caller's loop and not a thread that nobody
    watches, and a slow reader holds back the socket instead of filling a queue.
    """

    def __init__(self, broker: Broker, filters: Sequence[str]) -> None:
        self._broker = broker
        self._filters = filters
        self._came: list[MqttMessage] = []
        self._subscribed = False
        self._refusal: ServiceFailed | None = None
        self._client = mqtt.make_client(broker, mqtt.unique_id("tail"))
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def connect(self) -> None:
        """Connects and subscribes. Raises OSError when the broker is away, ServiceFailed when it refuses."""
        self._subscribed = False
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        self._client.connect(*self._broker.address)
        while not self._subscribed:
            if time.monotonic() > deadline:
                raise TimeoutError("no answer in time")
            self._loop()

    def poll(self) -> list[MqttMessage]:
        """The messages that arrived; none when none did for a while. Raises OSError when the connection is lost."""
        if not self._came:
            self._loop()
        came, self._came = self._came, []
        return came

    def close(self) -> None:
        self._client.disconnect()

    def _loop(self) -> None:
        result = self._client.loop(POLL_S)
        if self._refusal is not None:
            raise self._refusal
        if result != paho.MQTT_ERR_SUCCESS:
            raise ConnectionError(paho.error_string(result))

    def _on_connect(self, client: paho.Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._refusal = refused(self._broker, reason)
        else:
            client.subscribe([(given, 0) for given in self._filters])

    def _on_subscribe(
        self, client: paho.Client, userdata: Any, mid: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        self._subscribed = True
        for given, reason in zip(self._filters, reasons, strict=False):
            if reason.is_failure and self._refusal is None:
                self._refusal = ServiceFailed(
                    f"the MQTT broker at {self._broker} refuses the filter {given!r}",
                    hint="its user may not read that; try a narrower filter",
                )

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # paho decodes it on access
            topic = "(a topic that is not UTF-8)"
        self._came.append(MqttMessage(topic, bytes(message.payload), time.time(), message.qos, message.retain))
