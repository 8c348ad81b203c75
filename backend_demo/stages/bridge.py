"""bridge: MQTT -> `sensor-data`. A message is acknowledged to the broker after Kafka has acknowledged it.

paho runs in a thread of its own and knows nothing of Kafka; it meets the event loop in one line (`_hand_over`).
Messages that are not acknowledged come again, so the broker's limit of unacknowledged ones is the back pressure.
"""

from __future__ import annotations

import asyncio
import faulthandler
import time
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import structlog
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from backend_demo import metrics, tracing
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.topics import DEAD_LETTER, PARTITIONS, SENSOR_DATA
from backend_demo.errors import ConfigurationInvalid, ServiceFailed
from backend_demo.faust_batch.producer import BatchProducer, Message, partition_of
from backend_demo.settings import Settings
from backend_demo.stages import failpoints
from backend_demo.stages.process import end_now, fail
from backend_demo.stages.sink import count_dead_letters, dead_letter_messages
from backend_demo.stages.worker import check_topics, reachable

log = structlog.get_logger(__name__)

KEEP_ALIVE_S = 10
BATCH_MAX = 5000

#: MQTT 3.1.1 return codes that no waiting cures: bad user name or password, not authorized.
REFUSED = (4, 5, 134, 135)


@dataclass(frozen=True, slots=True)
class Held:
    """A message that the broker has not been acknowledged yet."""

    connection: int
    """Which connection it came over: packet ids begin again with each one, so its acknowledgement means nothing
    in another (after a broker's restart it would acknowledge, and lose, a different message)."""
    mid: int
    qos: int
    topic: bytes
    payload: bytes
    arrived_at: float
    """Epoch seconds."""


class Subscriber:
    """The MQTT side: a session that outlives its connections, and the messages that are held."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._loop = loop
        self._connection = 0
        self._held: set[int] = set()
        self._arrived: deque[Held] = deque()
        self._wake = asyncio.Event()
        self._subscribed = False
        self._waiting = False
        """For the broker; told once an outage."""
        self.failure: Exception | None = None
        self.progress_at = time.monotonic()
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"bdemo-bridge{settings.consumer_group_prefix}",
            clean_session=False,
            manual_ack=True,
        )
        if settings.mqtt_username:
            self.client.username_pw_set(settings.mqtt_username, settings.mqtt_password)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._on_connect
        self.client.on_connect_fail = self._on_connect_fail
        self.client.on_subscribe = self._on_subscribe
        self.client.on_disconnect = self._on_disconnect
        self.client.on_message = self._on_message

    def start(self) -> None:
        """Connects, and connects again, until `stop`."""
        self.client.connect_async(self._settings.mqtt_host, self._settings.mqtt_port, KEEP_ALIVE_S)
        self.client.loop_start()

    def stop(self) -> None:
        """Leaves; the broker keeps the session and what is not acknowledged."""
        self.client.disconnect()
        self.client.loop_stop()

    @property
    def subscribed(self) -> bool:
        """Whether the broker keeps messages for us: without a subscription it acknowledges and drops them."""
        return self._subscribed

    async def take(self) -> list[Held]:
        """What has arrived, in order; waits for the first message."""
        while not self._arrived:
            self._wake.clear()
            await self._wake.wait()
        return [self._arrived.popleft() for _ in range(min(len(self._arrived), BATCH_MAX))]

    def current(self, message: Held) -> bool:
        """Whether a message may still be acknowledged; one of QoS 0 will not come again, so it always counts."""
        return message.qos == 0 or message.connection == self._connection

    def acknowledge(self, messages: list[Held]) -> None:
        """PUBACKs in the order of arrival."""
        for message in messages:
            if message.qos and message.connection == self._connection:
                self._held.discard(message.mid)  # first: once acknowledged, the broker may use the number again
                self.client.ack(message.mid, message.qos)
                metrics.mqtt_acknowledged.inc()
        metrics.mqtt_in_flight.set(len(self._held))
        self.progress_at = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether paho's thread runs; an exception in it would end it without another word."""
        thread = self.client._thread
        return thread is not None and thread.is_alive()

    @property
    def held(self) -> int:
        """Messages that are not acknowledged yet."""
        return len(self._held)

    # -- in paho's thread: an exception here would end it, so everything is caught and ends the process

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            log.warning("MQTT broker refuses", reason=str(reason))
            if reason.value in REFUSED:
                self.failure = ServiceFailed(
                    f"the MQTT broker refuses user {self._settings.mqtt_username!r}: {reason}",
                    hint="check BDEMO_MQTT_USERNAME and BDEMO_MQTT_PASSWORD",
                )
                self._loop.call_soon_threadsafe(self._wake.set)
            return
        # always: after a broker lost its store the session is new, and paho does not subscribe again by itself
        try:
            client.subscribe([(topic_filter, 1) for topic_filter in self._settings.mqtt_filters])
        except ValueError:
            self.failure = ConfigurationInvalid(
                f"one of the MQTT filters {', '.join(self._settings.mqtt_filters)} is none",
                hint="mend BDEMO_MQTT_FILTERS; # stands for all levels that follow, + for one",
            )

    def _on_connect_fail(self, client: Any, userdata: Any) -> None:
        if not self._waiting:
            self._waiting = True
            log.warning("waits for the MQTT broker", host=self._settings.mqtt_host, port=self._settings.mqtt_port)

    def _on_subscribe(self, client: Any, userdata: Any, mid: int, reasons: list[Any], properties: Any) -> None:
        refused = [reason for reason in reasons if reason.is_failure]
        if refused:
            log.error("MQTT broker refuses the subscription", filters=self._settings.mqtt_filters)
        else:
            self._subscribed, self._waiting = True, False
            log.info("ready", filters=self._settings.mqtt_filters)

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._subscribed = False
        self._connection += 1
        self._held.clear()
        if reason.is_failure:
            log.warning("MQTT connection lost", reason=str(reason))

    def _on_message(self, client: Any, userdata: Any, message: mqtt.MQTTMessage) -> None:
        try:
            metrics.mqtt_received.inc()
            if message.dup:
                metrics.mqtt_redelivered.inc()
            if message.qos:
                if message.mid in self._held:
                    metrics.mqtt_repeated.inc()
                    return
                self._held.add(message.mid)
            elif len(self._arrived) >= self._settings.bridge_in_flight:
                return  # QoS 0 promises nothing, and nothing else bounds it
            # `.topic` decodes and raises on invalid UTF-8
            held = Held(self._connection, message.mid, message.qos, message._topic, bytes(message.payload), time.time())
            self._arrived.append(held)
            self._hand_over()
        except Exception:  # noqa: BLE001 - the outermost frame of ours in paho's thread
            fail()

    def _hand_over(self) -> None:
        self._loop.call_soon_threadsafe(self._wake.set)


def to_records(
    messages: list[Held], max_payload_bytes: int
) -> tuple[dict[tuple[str, int], list[Message]], list[DeadLetter]]:
    """MQTT messages as records of `sensor-data`, payloads untouched, and what no record may hold."""
    records: dict[tuple[str, int], list[Message]] = {}
    refused: list[DeadLetter] = []
    for message in messages:
        size = len(message.payload)
        if size > max_payload_bytes:
            topic = message.topic.decode(errors="replace")
            detail = f"{size} bytes, at most {max_payload_bytes} are taken"
            refused.append(DeadLetter("bridge", "size", detail, message.payload, message.topic, topic))
        else:
            target = (SENSOR_DATA, _partition(message.topic))
            records.setdefault(target, []).append((message.topic, message.payload))
    return records, refused


@lru_cache(maxsize=100_000)
def _partition(topic: bytes) -> int:
    return partition_of(topic, PARTITIONS)


async def run(
    subscriber: Subscriber, producer: BatchProducer, max_payload_bytes: int, spans: tracing.Tracing = tracing.OFF
) -> None:
    """What has arrived goes to Kafka as one send; then it is acknowledged."""
    hop, done = metrics.hop_seconds.labels("bridge", "mqtt"), metrics.records.labels("bridge", "mqtt")
    while True:
        messages = [message for message in await subscriber.take() if subscriber.current(message)]
        begin = time.monotonic()
        records, refused = to_records(messages, max_payload_bytes)
        with spans.batch("process mqtt", len(messages), {}):
            await producer.send({**records, **dead_letter_messages(refused)}, spans.headers)
        failpoints.hit("bridge-before-puback")
        subscriber.acknowledge(messages)
        count_dead_letters("bridge", refused)
        done.inc(len(messages))
        metrics.observe_ages([hop], time.time(), [message.arrived_at for message in messages])
        metrics.batches.labels("bridge").inc()
        metrics.batch_seconds.labels("bridge").observe(time.monotonic() - begin)


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """The service. Raises ServiceFailed when the broker refuses the user."""
    producer = BatchProducer(settings.kafka_bootstrap, client_id="bdemo-bridge")
    await producer.start()
    await check_topics(producer, (SENSOR_DATA, DEAD_LETTER))
    subscriber = Subscriber(settings, asyncio.get_running_loop())
    subscriber.start()
    spans = tracing.of(settings, "bridge")
    pump = asyncio.create_task(run(subscriber, producer, settings.max_payload_bytes, spans))
    try:
        await _watch(settings, subscriber, pump, stop)
    finally:
        metrics.service_ready.labels("bridge").set(0)
        subscriber.stop()
        pump.cancel()
        await producer.stop()
        await asyncio.to_thread(spans.close)


async def _watch(settings: Settings, subscriber: Subscriber, pump: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Readiness and the watchdog, until `stop`. Raises what ended the pump, ServiceFailed."""
    ready = metrics.service_ready.labels("bridge")
    stopping = asyncio.create_task(stop.wait())
    idle_since = time.monotonic()
    while not stop.is_set():
        ready.set(subscriber.subscribed)
        if subscriber.failure is not None:
            raise subscriber.failure
        if not subscriber.alive:
            raise ServiceFailed("the thread of the MQTT client has ended", hint="its last words are in the log")
        if pump.done():
            pump.result()
        now = time.monotonic()
        if not subscriber.held or not await reachable(settings.kafka_bootstrap):
            idle_since = now
        elif now - max(idle_since, subscriber.progress_at) > settings.watchdog_s:
            log.error("no progress", held=subscriber.held)
            faulthandler.dump_traceback()
            end_now(1)
        await asyncio.wait({pump, stopping}, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
