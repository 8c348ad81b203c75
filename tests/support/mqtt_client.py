"""A small blocking MQTT client of any level, which also sends what no real client would."""

from __future__ import annotations

import itertools
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from backend_demo.mqtt.codec.decoder import Decoder
from backend_demo.mqtt.codec.encoder import encode
from backend_demo.mqtt.codec.packets import (
    Ack,
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Pingreq,
    Pingresp,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)

#: Largest packet that the client takes, bytes.
PACKET_BYTES = 16 * 2**20

P = TypeVar("P", bound=Packet)


class Closed(Exception):
    """The broker closed the connection; `packets` came before and were not read, oldest first."""

    def __init__(self, packets: list[Packet]) -> None:
        super().__init__(f"the broker closed the connection; unread: {packets}")
        self.packets = packets


class MqttClient:
    """One connection. Every wait ends after `limit_s` with TimeoutError; packets not asked for stay in `unread`."""

    def __init__(self, host: str, port: int, *, limit_s: float = 15, tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection((host, port), limit_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
        self.limit_s = limit_s
        self.level = 4
        self.unread: deque[Packet] = deque()
        self._decoder = Decoder(packet_bytes=PACKET_BYTES, level=4)
        self._mids = itertools.cycle(range(1, 65_536))

    def connect(
        self, level: int = 4, *, username: str | None = None, password: str | None = None, **fields: Any
    ) -> Connack:
        """Sends CONNECT and returns the answer, whatever its code. `fields`: those of `Connect`."""
        self.speak(level)
        fields.setdefault("client_id", f"test-{time.monotonic_ns()}")
        secret = None if password is None else password.encode()
        self.send(Connect(level, username=username, password=secret, **fields))
        return self.wait_for(Connack)

    def speak(self, level: int) -> None:
        """Sets the level without a CONNECT, for those who send their own."""
        self.level = level
        self._decoder = Decoder(packet_bytes=PACKET_BYTES, level=level)

    def send(self, *packets: Packet) -> None:
        """Sends packets in one piece."""
        self.send_raw(b"".join(encode(packet, self.level) for packet in packets))

    def send_raw(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.socket.settimeout(self.limit_s)
        self.socket.sendall(data)

    def publish(
        self,
        topic: str | bytes,
        payload: str | bytes,
        *,
        qos: int = 1,
        properties: Properties | None = None,
        **fields: Any,
    ) -> Ack | None:
        """Publishes and returns the last acknowledgement, None at QoS 0; a failure of QoS 2 is a PUBREC."""
        message = self.message(topic, payload, qos=qos, properties=properties, **fields)
        self.send(message)
        if not qos:
            return None
        answer = self.acknowledgement(message.mid)
        if answer.kind is PacketType.PUBREC and answer.reason < 0x80:
            self.send(Ack(PacketType.PUBREL, message.mid))
            return self.acknowledgement(message.mid)
        return answer

    def message(
        self,
        topic: str | bytes,
        payload: str | bytes,
        *,
        qos: int = 1,
        properties: Properties | None = None,
        **fields: Any,
    ) -> Publish:
        """A PUBLISH with the next packet identifier, not sent."""
        raw_topic = topic.encode() if isinstance(topic, str) else topic
        raw_payload = payload.encode() if isinstance(payload, str) else payload
        return Publish(
            raw_topic, raw_payload, qos, next(self._mids) if qos else 0, properties=properties or {}, **fields
        )

    def acknowledgement(self, mid: int) -> Ack:
        """The next PUBACK, PUBREC or PUBCOMP of a packet identifier."""
        return self.wait_for(Ack, lambda ack: ack.mid == mid and ack.kind is not PacketType.PUBREL)

    def subscribe(self, *filters: str | Subscription, qos: int = 0, properties: Properties | None = None) -> Suback:
        """Subscribes and returns the answer."""
        mid = next(self._mids)
        wanted = [each if isinstance(each, Subscription) else Subscription(each, qos) for each in filters]
        self.send(Subscribe(mid, wanted, properties or {}))
        return self.wait_for(Suback, lambda answer: answer.mid == mid)

    def unsubscribe(self, *filters: str) -> Unsuback:
        """Ends subscriptions and returns the answer."""
        mid = next(self._mids)
        self.send(Unsubscribe(mid, list(filters)))
        return self.wait_for(Unsuback, lambda answer: answer.mid == mid)

    def next_message(self, limit_s: float | None = None, *, acknowledge: bool = True) -> Publish:
        """The next message of a subscription; one of QoS 1 is acknowledged."""
        message = self.wait_for(Publish, limit_s=limit_s)
        if message.qos == 1 and acknowledge:
            self.send(Ack(PacketType.PUBACK, message.mid))
        return message

    def ping(self) -> None:
        """Returns when the broker has answered: it has read all that was sent before."""
        self.send(Pingreq())
        self.wait_for(Pingresp)

    def wait_for(self, kind: type[P], accepted: Any = lambda _: True, *, limit_s: float | None = None) -> P:
        """The next packet of a type that is accepted; others stay in `unread`. Raises Closed, TimeoutError."""
        passed: list[Packet] = []
        try:
            for packet in self._packets(limit_s):
                if isinstance(packet, kind) and accepted(packet):
                    return packet
                passed.append(packet)
        finally:
            self.unread.extendleft(reversed(passed))
        raise Closed(list(self.unread))

    def receive(self, limit_s: float | None = None) -> Packet:
        """The next packet, whatever it is. Raises Closed, TimeoutError."""
        for packet in self._packets(limit_s):
            return packet
        raise Closed([])

    def until_closed(self, limit_s: float | None = None) -> list[Packet]:
        """The packets that come until the broker closes the connection, which it must within the limit."""
        return list(self._packets(limit_s))

    def disconnect(self, reason: int = 0, properties: Properties | None = None) -> None:
        """Says goodbye, if the broker still listens, and closes."""
        with suppress(OSError):
            self.send(Disconnect(reason, properties or {}))
        self.close()

    def close(self) -> None:
        """Closes without goodbye, as a device does that loses its power."""
        self.socket.close()

    def __enter__(self) -> MqttClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _packets(self, limit_s: float | None) -> Iterator[Packet]:
        """The unread packets, then those that come, until the broker closes. Raises TimeoutError."""
        deadline = time.monotonic() + (self.limit_s if limit_s is None else limit_s)
        while True:
            while self.unread:
                yield self.unread.popleft()
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.socket.recv(65_536)
            except (ConnectionError, ssl.SSLEOFError):
                return
            if not data:
                return
            self.unread.extend(self._decoder.feed(data))


@contextmanager
def connected(host: str, port: int, level: int = 4, **fields: Any) -> Iterator[MqttClient]:
    """A client whose CONNECT was accepted."""
    with MqttClient(host, port) as client:
        answer = client.connect(level, **fields)
        assert answer.code == 0, answer
        yield client
        client.disconnect()
