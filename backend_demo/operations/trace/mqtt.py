"""Publishes one MQTT message and waits for its acknowledgement, or sees one in passing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar, cast

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from backend_demo.adapters import mqtt
from backend_demo.adapters.mqtt import CONNECT_TIMEOUT_S, Broker
from backend_demo.adapters.mqtt_failures import refused, unusable
from backend_demo.errors import ServiceFailed

#: How often paho checks whether a keep-alive is due, seconds.
TEND_S = 0.5

_T = TypeVar("_T")


@contextlib.asynccontextmanager
async def connected(broker: Broker, filters: Sequence[str] = ()) -> AsyncIterator[Connection]:
    """A connection that has subscribed to these filters. Raises ServiceFailed."""
    connection = Connection(broker, filters)
    try:
        await connection.open()
        yield connection
    finally:
        connection.close()


class Connection:
    """A connection that paho keeps in the event loop's own thread, so that its times are exact.

    It serves one message and is not replaced when it is lost.
    """

    def __init__(self, broker: Broker, filters: Sequence[str]) -> None:
        self._broker = broker
        self._filters = filters
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._acknowledged: asyncio.Future[float] = self._loop.create_future()
        self._message: asyncio.Future[tuple[str, bytes, float]] = self._loop.create_future()
        self._client = client = mqtt.make_client(broker, mqtt.unique_id("trace"), reconnect=False)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message

    async def open(self) -> None:
        """Returns when it is connected and subscribed. Raises ServiceFailed, also when the broker refuses the user."""
        try:
            await asyncio.to_thread(self._client.connect, *self._broker.address)
            # not before: the connect ran in another thread
            self._client.on_socket_close = self._on_socket_close
            self._client.on_socket_register_write = self._on_socket_register_write
            if (opened := self._client.socket()) is None:
                raise ConnectionAbortedError
            self._loop.add_reader(cast("socket.socket", opened), mqtt.read, self._client)
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._until(self._ready)
        except OSError as problem:
            raise await asyncio.to_thread(unusable, self._broker, problem) from problem

    def close(self) -> None:
        """Disconnects from the broker."""
        for future in (self._ready, self._acknowledged, self._message):
            if not future.cancel() and not future.cancelled():
                future.exception()  # retrieved, so that asyncio does not report that nobody did
        self._client.disconnect()
        if (open_still := self._client.socket()) is not None:
            self._loop.remove_reader(cast("socket.socket", open_still))

    def publish(self, topic: str, payload: bytes) -> float:
        """Publishes with QoS 1; returns when, epoch seconds."""
        when = time.time()
        self._client.publish(topic, payload, qos=1)
        return when

    async def acknowledged(self) -> float:
        """When the broker acknowledged what was published, epoch seconds. Raises ServiceFailed."""
        return await self._until(self._acknowledged)

    async def message(self) -> tuple[str, bytes, float]:
        """Topic and payload of the first message since the subscription, and when it came. Raises ServiceFailed."""
        return await self._until(self._message)

    async def _until(self, future: asyncio.Future[_T]) -> _T:
        while not future.done():
            await asyncio.wait([future], timeout=TEND_S)
            self._client.loop_misc()
            if self._client.want_write():
                self._client.loop_write()
        return future.result()

    # -- paho's callbacks

    def _on_connect(self, client: paho.Client, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._fail(refused(self._broker, reason))
        elif self._filters:
            client.subscribe([(given, 0) for given in self._filters])
        else:
            _settle(self._ready, None)

    def _on_subscribe(self, client: Any, data: Any, mid: int, reasons: list[ReasonCode], properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._fail(self._failure(f"does not let user {self._broker.username!r} see {' and '.join(self._filters)}"))
        else:
            _settle(self._ready, None)

    def _on_disconnect(self, *_: object) -> None:
        if not self._ready.done():
            self._ready.set_exception(ConnectionAbortedError())
        self._fail(self._failure("closed the connection"))

    def _on_publish(self, *_: object) -> None:
        _settle(self._acknowledged, time.time())

    def _on_message(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        if not message.retain:  # an old one, kept by the broker
            _settle(self._message, (message.topic, bytes(message.payload), time.time()))

    def _on_socket_register_write(self, *_: object) -> None:
        self._loop.call_soon(self._client.loop_write)  # a packet of a callback is not written by itself

    def _on_socket_close(self, client: Any, data: Any, closed: Any) -> None:
        self._loop.remove_reader(closed)

    def _failure(self, what: str) -> ServiceFailed:
        return ServiceFailed(f"the MQTT broker at {self._broker} {what}", hint="see: bdemo status")

    def _fail(self, problem: ServiceFailed) -> None:
        for future in (self._ready, self._acknowledged, self._message):
            if not future.done():
                future.set_exception(problem)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)
