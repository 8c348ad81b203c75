"""One MQTT message of a sensor: published and acknowledged, or seen in passing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from backend_demo.errors import ServiceFailed
from backend_demo.operations.tail_mqtt import Broker

CONNECT_S = 5.0
KEEP_ALIVE_S = 15
#: How often paho is asked whether a keep-alive is due.
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
    """A connection that paho keeps in the event loop's own thread, so that times are those of the moment.

    It serves one message, and is not made again when it is lost.
    """

    def __init__(self, broker: Broker, filters: Sequence[str]) -> None:
        self._broker = broker
        self._filters = filters
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._acknowledged: asyncio.Future[float] = self._loop.create_future()
        self._message: asyncio.Future[tuple[str, bytes, float]] = self._loop.create_future()
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            f"bdemo-trace-{uuid.uuid4().hex[:12]}",
            clean_session=True,
            protocol=paho.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S
        if broker.username:
            client.username_pw_set(broker.username, broker.password)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message

    async def open(self) -> None:
        """Returns when it is connected and subscribed. Raises ServiceFailed, also when the broker refuses the user."""
        try:
            await asyncio.to_thread(self._client.connect, self._broker.host, self._broker.port, KEEP_ALIVE_S)
            # not before: the connect ran in another thread
            self._client.on_socket_close = self._on_socket_close
            self._client.on_socket_register_write = self._on_socket_register_write
            self._loop.add_reader(cast("socket.socket", self._client.socket()), self._client.loop_read)
            async with asyncio.timeout(CONNECT_S):
                await self._until(self._ready)
        except OSError as problem:
            raise ServiceFailed(
                f"cannot reach an MQTT broker at {self._broker}", hint="is it running? look with: bdemo status"
            ) from problem

    def close(self) -> None:
        """Takes leave of the broker."""
        for future in (self._ready, self._acknowledged, self._message):
            if not future.cancel() and not future.cancelled():
                future.exception()  # asked for, so that asyncio does not report it as overlooked
        self._client.disconnect()
        if (open_still := self._client.socket()) is not None:
            self._loop.remove_reader(cast("socket.socket", open_still))

    def publish(self, topic: str, payload: bytes) -> float:
        """Publishes with QoS 1; when, epoch seconds."""
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
            who = f"user {self._broker.username!r}" if self._broker.username else "a client without user name"
            self._fail(f"refuses {who}: {reason}")
        elif self._filters:
            client.subscribe([(given, 0) for given in self._filters])
        else:
            _settle(self._ready, None)

    def _on_subscribe(self, client: Any, data: Any, mid: int, reasons: list[ReasonCode], properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._fail(f"does not let user {self._broker.username!r} see {' and '.join(self._filters)}")
        else:
            _settle(self._ready, None)

    def _on_disconnect(self, *_: object) -> None:
        self._fail("has closed the connection")

    def _on_publish(self, *_: object) -> None:
        _settle(self._acknowledged, time.time())

    def _on_message(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        if not message.retain:  # an old one, kept by the broker
            _settle(self._message, (message.topic, bytes(message.payload), time.time()))

    def _on_socket_register_write(self, *_: object) -> None:
        self._loop.call_soon(self._client.loop_write)  # a packet of a callback is not written by itself

    def _on_socket_close(self, client: Any, data: Any, closed: Any) -> None:
        self._loop.remove_reader(closed)

    def _fail(self, what: str) -> None:
        for future in (self._ready, self._acknowledged, self._message):
            if not future.done():
                future.set_exception(
                    ServiceFailed(f"the MQTT broker at {self._broker} {what}", hint="see: bdemo status")
                )


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)
