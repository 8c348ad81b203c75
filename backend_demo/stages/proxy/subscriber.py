"""What one client subscribes to: messages go out within its window, and one that is too slow is given up."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from backend_demo import metrics
from backend_demo.mqtt.codec import encoder
from backend_demo.mqtt.codec.packets import Properties, Property, ReasonCode, Subscribe, Subscription
from backend_demo.mqtt.filters import filter_problem
from backend_demo.stages.proxy.bounds import Bounds
from backend_demo.stages.proxy.hub import Hub, Terms
from backend_demo.stages.proxy.session import ClientSession

#: Most messages that wait for a client's window.
WAITING = 10_000

#: The code of a refused subscription before MQTT 5.
FAILURE = 0x80


class ClientSubscriber:
    """The subscribing side of one connection. `give_up` ends a connection whose client is too slow."""

    __slots__ = (
        *("_aliases", "_bounds", "_filters", "_give_up", "_hub", "_mid", "_session", "_transport", "_unacknowledged"),
        *("_waiting", "_waiting_bytes"),
    )

    def __init__(
        self, session: ClientSession, hub: Hub, bounds: Bounds, transport: Any, give_up: Callable[[], None]
    ) -> None:
        self._session = session
        self._hub = hub
        self._bounds = bounds
        self._transport = transport
        self._give_up = give_up
        self._filters: dict[str, Terms] = {}
        self._mid = 0
        self._unacknowledged: set[int] = set()
        self._waiting: deque[tuple[bytes, bytes, Properties]] = deque()
        self._waiting_bytes = 0
        """Of their topics and payloads."""
        self._aliases: dict[bytes, int] = {}

    # -- its subscriptions

    def subscribe(self, packet: Subscribe) -> list[int]:
        """Adds subscriptions; a code for each: the QoS, or why it is refused."""
        identifiers = packet.properties.get(Property.SUBSCRIPTION_IDENTIFIER, [])
        identifier = identifiers[0] if identifiers else None
        return [self._subscribe(each, identifier) for each in packet.filters]

    def _subscribe(self, wanted: Subscription, identifier: int | None) -> int:
        topic_filter = wanted.filter
        refused = self._refused(topic_filter)
        if refused is not None:
            return refused if self._session.level >= 5 else FAILURE
        self.unsubscribe(topic_filter)  # a subscription that comes again replaces the first
        if wanted.no_local and not self._session.mark:
            self._session.mark = secrets.token_bytes(8)
        terms = Terms(min(wanted.qos, 1), identifier, self._session.mark if wanted.no_local else b"")
        self._filters[topic_filter] = terms
        self._hub.subscribe(self, topic_filter, terms)
        return terms.qos

    def _refused(self, topic_filter: str) -> ReasonCode | None:
        if topic_filter.startswith("$share/"):
            return ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if filter_problem(topic_filter):
            return ReasonCode.TOPIC_FILTER_INVALID
        if not self._session.rights.may_subscribe(topic_filter):
            return ReasonCode.NOT_AUTHORIZED
        if topic_filter not in self._filters and len(self._filters) >= self._bounds.subscriptions:
            return ReasonCode.QUOTA_EXCEEDED
        return None

    def unsubscribe(self, topic_filter: str) -> ReasonCode:
        """Removes a subscription; the code of the answer."""
        found = self._filters.pop(topic_filter, None)
        if found is None:
            return ReasonCode.NO_SUBSCRIPTION_EXISTED
        self._hub.unsubscribe(self, topic_filter, found)
        return ReasonCode.SUCCESS

    def close(self) -> None:
        """Removes all subscriptions."""
        for each in list(self._filters):
            self.unsubscribe(each)

    @property
    def allowed(self) -> bool:
        """Whether the user may still have all its subscriptions."""
        return all(self._session.rights.may_subscribe(each) for each in self._filters)

    # -- messages to it

    def show(self, topic: bytes, payload: bytes, qos: int, properties: Properties, identifiers: Sequence[int]) -> None:
        """Sends a message, or keeps it until the client has acknowledged others; never waits for it."""
        if identifiers:
            properties = {**properties, Property.SUBSCRIPTION_IDENTIFIER: list(identifiers)}
        if not qos:
            self._send(topic, payload, 0, 0, properties)
        elif self._waiting or len(self._unacknowledged) >= self._session.window:
            self._waiting.append((topic, payload, properties))
            self._waiting_bytes += len(topic) + len(payload)
        else:
            self._send(topic, payload, 1, self._next_mid(), properties)
        unread = self._waiting_bytes + self._transport.get_write_buffer_size()
        if len(self._waiting) > WAITING or unread > self._bounds.subscriber_bytes:
            metrics.mqtt_subscribers_dropped.inc()
            self._give_up()

    def acknowledged(self, mid: int) -> None:
        """Notes a PUBACK, and sends what waited for it."""
        self._unacknowledged.discard(mid)
        while self._waiting and len(self._unacknowledged) < self._session.window:
            topic, payload, properties = self._waiting.popleft()
            self._waiting_bytes -= len(topic) + len(payload)
            self._send(topic, payload, 1, self._next_mid(), properties)

    def _next_mid(self) -> int:
        self._mid = self._mid % 65_535 + 1
        while self._mid in self._unacknowledged:
            self._mid = self._mid % 65_535 + 1
        self._unacknowledged.add(self._mid)
        return self._mid

    def _send(self, topic: bytes, payload: bytes, qos: int, mid: int, properties: Properties) -> None:
        session = self._session
        name = topic
        if session.level < 5:
            properties = {}
        elif session.topic_aliases:
            name, properties = self._aliased(topic, properties)
        packet = encoder.publish(name, payload, qos=qos, mid=mid, properties=properties, level=session.level)
        if session.packet_bytes and len(packet) > session.packet_bytes:
            self._unacknowledged.discard(mid)  # the standard: as if it had been sent
            if name and Property.TOPIC_ALIAS in properties:
                del self._aliases[topic]  # the client does not learn it
            return
        self._transport.write(packet)

    def _aliased(self, topic: bytes, properties: Properties) -> tuple[bytes, Properties]:
        """The first topics of a connection get aliases, which stand for them from their second message on."""
        alias = self._aliases.get(topic)
        if alias is not None:
            return b"", {**properties, Property.TOPIC_ALIAS: alias}
        if len(self._aliases) < self._session.topic_aliases:
            alias = self._aliases[topic] = len(self._aliases) + 1
            return topic, {**properties, Property.TOPIC_ALIAS: alias}
        return topic, properties
