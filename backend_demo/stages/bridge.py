"""bridge: MQTT -> `sensor-data`. A message is acknowledged to the broker after Kafka has acknowledged it.

paho runs in its own thread and knows nothing about Kafka; it reaches the event loop in one line (`_hand_over`).
The broker sends unacknowledged messages again and limits their number, which is the back pressure.
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

from backend_demo import metrics
from backend_demo import telemetry as tracing
from backend_demo.adapters.kafka import Brokers
from backend_demo.adapters.mqtt import RECONNECT_MAX_S, RECONNECT_S, Broker, make_client, session_id
from backend_demo.adapters.mqtt_failures import REFUSED, refused, unusable
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.topics import DEAD_LETTER, PARTITIONS, SENSOR_DATA
from backend_demo.domain.watchdog import Watchdog
from backend_demo.errors import ConfigurationInvalid, ServiceFailed
from backend_demo.faust_batch.producer import BatchProducer, Message, partition_of
from backend_demo.mqtt.filters import filter_problem, without_covered
from backend_demo.settings import Settings, accepted_filters
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.sink import count_dead_letters, dead_letter_messages
from backend_demo.stages.runtime.worker import check_topics, reachable

log = structlog.get_logger(__name__)

BATCH_MAX = 5000


@dataclass(frozen=True, slots=True)
class Held:
    """A message that is not acknowledged to the broker yet."""

    connection: int
    """The number of its connection. Packet ids start again with each connection, so an acknowledgement sent over a
    later one could, after the broker's restart, acknowledge and lose a different message."""
    mid: int
    qos: int
    topic: bytes
    payload: bytes
    arrived_at: float
    """Epoch seconds."""


class Subscriber:
    """The MQTT side: a session that outlives its connections, and the messages not acknowledged yet."""

    def __init__(self, settings: Settings, process: ServiceProcess, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._process = process
        self._loop = loop
        self._connection = 0
        self._held: set[int] = set()
        self._arrived: deque[Held] = deque()
        self._wake = asyncio.Event()
        self._subscribed = False
        self._refused = False
        """The broker has refused the newest connection."""
        self._told: set[str] = set()
        """What the log says of this outage: each cause once, however often the connection fails."""
        self.failure: Exception | None = None
        self.acknowledgements = 0
        """Calls of `acknowledge` so far."""
        self._filters = without_covered(accepted_filters(settings))
        self._broker = Broker.of(settings)
        name = f"bridge{settings.consumer_group_prefix}{settings.instance}"
        self.client = make_client(
            self._broker, session_id(self._broker, name, settings.state_dir), keep_session=True, manual_ack=True
        )
        self.client.reconnect_delay_set(RECONNECT_S, RECONNECT_MAX_S)
        self.client.on_connect = self._on_connect
        self.client.on_connect_fail = self._on_connect_fail
        self.client.on_subscribe = self._on_subscribe
        self.client.on_disconnect = self._on_disconnect
        self.client.on_message = self._on_message

    def start(self) -> None:
        """Connects, and reconnects until `stop`."""
        self.client.connect_async(*self._broker.address)
        self.client.loop_start()

    def stop(self) -> None:
        """Disconnects; the broker keeps the session and the unacknowledged messages."""
        self.client.disconnect()
        self.client.loop_stop()

    @property
    def subscribed(self) -> bool:
        """Whether the broker keeps messages for the bridge: without a subscription it acknowledges and drops them."""
        return self._subscribed

    async def take(self) -> list[Held]:
        """Takes the messages that have arrived, in order; waits for the first one."""
        while not self._arrived:
            self._wake.clear()
            await self._wake.wait()
        return [self._arrived.popleft() for _ in range(min(len(self._arrived), BATCH_MAX))]

    def current(self, message: Held) -> bool:
        """Whether a message may still be acknowledged; one of QoS 0 is never sent again, so it always may."""
        return message.qos == 0 or message.connection == self._connection

    def acknowledge(self, messages: list[Held]) -> None:
        """Sends the PUBACKs, in the order of arrival."""
        for message in messages:
            if message.qos and message.connection == self._connection:
                self._held.discard(message.mid)  # first: once acknowledged, the broker may reuse the number
                self.client.ack(message.mid, message.qos)
                metrics.mqtt_acknowledged.inc()
        metrics.mqtt_in_flight.set(len(self._held))
        self.acknowledgements += 1

    @property
    def alive(self) -> bool:
        """Whether paho's thread runs; an exception would end it silently."""
        thread = self.client._thread
        return thread is not None and thread.is_alive()

    @property
    def held(self) -> int:
        """Messages that are not acknowledged yet."""
        return len(self._held)

    # -- in paho's thread: an exception here would end it, so everything is caught and ends the process

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._refused = reason.is_failure
        if reason.is_failure:
            cause = refused(self._broker, reason)
            self._tell(cause)
            if reason.value in REFUSED:
                self.failure = cause
                self._loop.call_soon_threadsafe(self._wake.set)
            return
        # always: after a broker has lost its store the session is new, and paho does not subscribe again by itself
        group = self._settings.bridge_group
        shared = f"$share/{group}/" if group else ""
        client.subscribe([(f"{shared}{each}", 1) for each in self._filters])

    def _on_connect_fail(self, client: Any, userdata: Any) -> None:
        self._tell(unusable(self._broker))

    def _on_subscribe(self, client: Any, userdata: Any, mid: int, reasons: list[Any], properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            log.error("MQTT broker refuses the subscription", filters=self._filters)
            return
        self._subscribed = True
        if self._told:
            self._told.clear()
            log.info("MQTT broker is back")
        log.info("ready", filters=self._filters)

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._subscribed = False
        self._connection += 1
        self._held.clear()
        if reason.is_failure and not self._refused:
            self._tell(unusable(self._broker))

    def _tell(self, cause: ServiceFailed) -> None:
        if cause.message not in self._told:
            self._told.add(cause.message)
            log.warning("waiting for the MQTT broker", reason=cause.message, hint=cause.hint)

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
            self._process.fail()

    def _hand_over(self) -> None:
        self._loop.call_soon_threadsafe(self._wake.set)


def to_records(
    messages: list[Held], max_payload_bytes: int
) -> tuple[dict[tuple[str, int], list[Message]], list[DeadLetter]]:
    """Makes records of `sensor-data`, payloads untouched, and dead letters of the payloads that are too large."""
    records: dict[tuple[str, int], list[Message]] = {}
    refused: list[DeadLetter] = []
    for message in messages:
        size = len(message.payload)
        if size > max_payload_bytes:
            topic = message.topic.decode(errors="replace")
            detail = f"{size} bytes, more than the {max_payload_bytes} allowed"
            refused.append(DeadLetter("bridge", "size", detail, message.payload, message.topic, topic))
        else:
            target = (SENSOR_DATA, _partition(message.topic))
            records.setdefault(target, []).append((message.topic, message.payload))
    return records, refused


@lru_cache(maxsize=100_000)
def _partition(topic: bytes) -> int:
    return partition_of(topic, PARTITIONS)


async def run(
    subscriber: Subscriber,
    producer: BatchProducer,
    process: ServiceProcess,
    max_payload_bytes: int,
    spans: tracing.Tracing = tracing.OFF,
) -> None:
    """Handles messages for ever.

    1. Take the messages that have arrived and may still be acknowledged.
    2. Send them, and dead letters for those too large; returns when Kafka has acknowledged all.
    3. Acknowledge the messages to the broker (PUBACK).
    """
    hop, done = metrics.hop_seconds.labels("bridge", "mqtt"), metrics.records.labels("bridge", "mqtt")
    while True:
        messages = [message for message in await subscriber.take() if subscriber.current(message)]  # 1
        begin = time.monotonic()
        records, refused = to_records(messages, max_payload_bytes)
        with spans.batch("process mqtt", len(messages), {}):
            await producer.send({**records, **dead_letter_messages(refused)}, spans.headers)  # 2
        process.failpoints.hit("bridge-before-puback")
        subscriber.acknowledge(messages)  # 3
        count_dead_letters("bridge", refused)
        done.inc(len(messages))
        metrics.observe_ages([hop], time.time(), [message.arrived_at for message in messages])
        metrics.batches.labels("bridge").inc()
        metrics.batch_seconds.labels("bridge").observe(time.monotonic() - begin)


async def main(settings: Settings, process: ServiceProcess, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set. Raises ConfigurationInvalid; ServiceFailed (a broker that refuses)."""
    for topic_filter in settings.mqtt_filters:
        if problem := filter_problem(topic_filter):
            raise ConfigurationInvalid(
                f"invalid MQTT filter {topic_filter!r}: {problem}",
                hint="fix mqtt_filters in bdemo.toml, or BDEMO_MQTT_FILTERS",
            )
    producer = BatchProducer(**Brokers.of(settings).connection(), client_id="bdemo-bridge")
    await producer.start()
    await check_topics(producer, (SENSOR_DATA, DEAD_LETTER))
    subscriber = Subscriber(settings, process, asyncio.get_running_loop())
    subscriber.start()
    spans = tracing.of(settings, "bridge")
    pump = asyncio.create_task(run(subscriber, producer, process, settings.max_payload_bytes, spans))
    try:
        await _watch(settings, process, subscriber, pump, stop)
    finally:
        metrics.service_ready.labels("bridge").set(0)
        subscriber.stop()
        pump.cancel()
        await producer.stop()
        await asyncio.to_thread(spans.close)


async def _watch(
    settings: Settings, process: ServiceProcess, subscriber: Subscriber, pump: asyncio.Task[None], stop: asyncio.Event
) -> None:
    """Reports readiness, and ends a process that is stuck, until `stop` is set. Raises what has ended the pump."""
    ready = metrics.service_ready.labels("bridge")
    stopping = asyncio.create_task(stop.wait())
    watchdog = Watchdog(settings.watchdog_s, time.monotonic(), patience_s=0.0)
    while not stop.is_set():
        ready.set(subscriber.subscribed)
        if subscriber.failure is not None:
            raise subscriber.failure
        if not subscriber.alive:
            raise ServiceFailed("the thread of the MQTT client has ended", hint="its traceback is in the log")
        if pump.done():
            pump.result()
        now = time.monotonic()
        if watchdog.suspects(now, done=subscriber.acknowledgements, idle=not subscriber.held) and watchdog.is_stuck(
            now, reachable=await reachable(settings.kafka_bootstrap)
        ):
            log.error("no progress", held=subscriber.held)
            faulthandler.dump_traceback()
            process.end_now(1)
        await asyncio.wait({pump, stopping}, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
