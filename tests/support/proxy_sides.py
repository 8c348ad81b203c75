"""A connection's publishing and subscribing sides without a socket: lists stand for what is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from backend_demo.adapters.kafka import Brokers
from backend_demo.mqtt.codec.decoder import Decoder
from backend_demo.mqtt.codec.packets import Packet, Publish
from backend_demo.mqtt.users_file import Rights
from backend_demo.settings import Settings
from backend_demo.stages.proxy.bounds import Bounds
from backend_demo.stages.proxy.hub import Hub
from backend_demo.stages.proxy.intake import Arrivals, MessageIntake, Routes
from backend_demo.stages.proxy.publisher import ClientPublisher
from backend_demo.stages.proxy.session import ClientSession
from backend_demo.stages.proxy.subscriber import ClientSubscriber

BOUNDS = Bounds.of(Settings())


def bounds(**changed: Any) -> Bounds:
    return replace(BOUNDS, **changed)


def session(level: int = 5, rights: Rights = Rights(("#",), ("#",)), **changed: Any) -> ClientSession:
    fields: dict[str, Any] = {
        "client_id": "client",
        "user": "user",
        "keep_alive_s": 60,
        "will": None,
        "wants_reasons": True,
        "window": 10,
        "packet_bytes": 0,
        "topic_aliases": 0,
        **changed,
    }
    return ClientSession(level=level, rights=rights, **fields)


def decoded(level: int, sent: Sequence[bytes]) -> list[Packet]:
    """The packets in what was sent to a client."""
    return list(Decoder(packet_bytes=2**20, level=level).feed(b"".join(sent)))


class Publishing:
    """A publisher and its intake; `kafka_has_it` answers what was taken."""

    def __init__(self, level: int = 5, *, rights: Rights = Rights(("#",), ()), **changed: Any) -> None:
        self.level = level
        self.said: list[bytes] = []
        limits = bounds(**changed)
        self.intake = MessageIntake(limits, lambda: None, lambda: None)
        routes = Routes(("sensors/#", "/#"))
        self.publisher = ClientPublisher(self, session(level, rights), self.intake, routes, limits)

    def answer(self, packets: Sequence[bytes]) -> None:
        self.publisher.answered(packets)
        self.said += packets

    def publish(self, *packets: Publish) -> None:
        for packet in packets:
            self.publisher.publish(packet)
        self.publisher.flush()

    def kafka_has_it(self) -> tuple[Arrivals, list[Packet]]:
        """What Kafka got, and what the client is told."""
        arrivals, self.intake.arrivals = self.intake.arrivals, Arrivals()
        self.intake.acknowledge(arrivals)
        said, self.said = self.said, []
        return arrivals, decoded(self.level, said)


@dataclass
class ListTransport:
    """Takes what is written, and keeps it when nobody reads."""

    written: list[bytes] = field(default_factory=list)
    unread: int = 0

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unread


class Subscribing:
    """A subscriber, and what was sent to its client."""

    def __init__(self, level: int = 5, limits: Bounds = BOUNDS, **changed: Any) -> None:
        self.level = level
        self.transport = ListTransport()
        self.given_up = 0
        self.hub = Hub(Brokers("localhost:1"))
        self.subscriber = ClientSubscriber(session(level, **changed), self.hub, limits, self.transport, self._give_up)

    def _give_up(self) -> None:
        self.given_up += 1

    def sent(self) -> list[Publish]:
        """The messages sent since the last call."""
        written, self.transport.written = self.transport.written, []
        return [packet for packet in decoded(self.level, written) if isinstance(packet, Publish)]
