"""Reads MQTT messages as they pass: a subscriber without a session of its own, so the bridge misses nothing by it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from backend_demo.domain import topics
from backend_demo.errors import ServiceFailed, UsageError

CONNECT_S = 5.0
KEEP_ALIVE_S = 15
RETRY_S = 1.0
#: How long one look at the connection takes when nothing comes.
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message as it came."""

    topic: str
    payload: bytes
    received: float
    """Epoch seconds."""
    qos: int
    retain: bool


@dataclass(frozen=True)
class Broker:
    """Where to subscribe, and as whom; an empty user name: as nobody."""

    host: str
    port: int
    username: str = ""
    password: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def tail(
    broker: Broker, filters: Sequence[str], *, sensor: int | None = None, notify: Callable[[str], None]
) -> Generator[list[Message], None, None]:
    """The messages that match a filter, from now on; an empty batch about twice a second while none comes.

    Goes on when the broker was away; `notify` gets what a user should know. Raises UsageError, ServiceFailed.
    """
    for given in filters:
        check_filter(given)
    subscription = _Subscription(broker, filters)
    try:
        try:
            subscription.connect()
        except OSError as problem:
            raise ServiceFailed(
                f"cannot reach an MQTT broker at {broker}", hint="is it running? look with: bdemo status"
            ) from problem
        while True:
            try:
                came = subscription.poll()
            except OSError:
                notify("waiting for the MQTT broker")
                _reconnect(subscription)
                notify("the MQTT broker is back")
                continue
            yield [message for message in came if sensor is None or topics.sensor_of(message.topic) == sensor]
    finally:
        subscription.close()


def check_filter(given: str) -> None:
    """Raises UsageError for what MQTT does not take as a topic filter."""
    levels = given.split("/")
    if not given or "\0" in given or len(given.encode(errors="replace")) > 65_535:
        problem = "it must have 1 to 65535 bytes, and no NUL"
    elif any("\ud800" <= character <= "\udfff" for character in given):
        problem = "it must be UTF-8"
    elif any("#" in level and level != "#" for level in levels) or "#" in levels[:-1]:
        problem = "# stands for all that follows: alone, as the last level"
    elif any("+" in level and level != "+" for level in levels):
        problem = "+ stands for one whole level"
    else:
        return
    shown = repr(given if len(given) <= 60 else f"{given[:60]}...")
    raise UsageError(f"no MQTT topic filter: {shown}", hint=f"{problem}; for example 'sensors/+/temperature'")


def _reconnect(subscription: _Subscription) -> None:
    while True:
        try:
            subscription.connect()
        except OSError:
            time.sleep(RETRY_S)
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
        self._came: list[Message] = []
        self._subscribed = False
        self._refusal: ServiceFailed | None = None
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            f"bdemo-tail-{uuid.uuid4().hex[:12]}",
            clean_session=True,
            protocol=paho.MQTTv311,
        )
        self._client.connect_timeout = CONNECT_S
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def connect(self) -> None:
        """Connects and subscribes. Raises OSError when the broker is away, ServiceFailed when it refuses."""
        self._subscribed = False
        deadline = time.monotonic() + CONNECT_S
        self._client.connect(self._broker.host, self._broker.port, keepalive=KEEP_ALIVE_S)
        while not self._subscribed:
            if time.monotonic() > deadline:
                raise TimeoutError("no answer in time")
            self._loop()

    def poll(self) -> list[Message]:
        """What came; nothing when nothing came for a while. Raises OSError when the connection is lost."""
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
            who = f"user {self._broker.username!r}" if self._broker.username else "a client without user name"
            self._refusal = ServiceFailed(
                f"the MQTT broker at {self._broker} refuses {who}: {reason}",
                hint="set BDEMO_MQTT_USERNAME and BDEMO_MQTT_PASSWORD for a broker of your own",
            )
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
        except UnicodeDecodeError:  # paho decodes when it is asked
            topic = "(a topic that is not UTF-8)"
        self._came.append(Message(topic, bytes(message.payload), time.time(), message.qos, message.retain))
