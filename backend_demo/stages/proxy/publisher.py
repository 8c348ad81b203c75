"""What one client publishes: each message becomes a record or a dead letter, and is answered when Kafka has it."""

from __future__ import annotations

from collections.abc import Sequence

from backend_demo import metrics
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.reading import Reason
from backend_demo.mqtt.codec.encoder import encode
from backend_demo.mqtt.codec.packets import (
    Ack,
    Oversized,
    PacketType,
    Properties,
    Property,
    ProtocolError,
    Publish,
    ReasonCode,
    Will,
)
from backend_demo.mqtt.filters import topic_problem
from backend_demo.mqtt.record_headers import PUBLISHER, publish_headers
from backend_demo.stages.proxy.bounds import CONNECTION_TOPICS, HEADERS_BYTES, Bounds
from backend_demo.stages.proxy.intake import NOT_ACCEPTED, Answered, Arrivals, MessageIntake, Routes
from backend_demo.stages.proxy.session import ClientSession

#: The acknowledgement of QoS 1 by packet id, the same in every version.
PUBACKS = tuple(b"\x40\x02" + mid.to_bytes(2) for mid in range(65_536))

#: The first byte of a PUBREC.
_PUBREC = PacketType.PUBREC << 4


class ClientPublisher:
    """The publishing side of one connection. `connection` gets the answers."""

    __slots__ = (
        "_aliases",
        "_answers",
        "_arrivals",
        "_bounds",
        "_connection",
        "_count",
        "_intake",
        "_known",
        "_routes",
        "_session",
        "_size",
        "_to_release",
        "_unanswered_pubrecs",
        "held",
    )

    def __init__(
        self, connection: Answered, session: ClientSession, intake: MessageIntake, routes: Routes, bounds: Bounds
    ) -> None:
        self.held = 0
        """Messages of QoS 1 and 2 that are not answered yet."""
        self._connection = connection
        self._session = session
        self._intake = intake
        self._routes = routes
        self._bounds = bounds
        self._known: dict[bytes, int] = {}
        """The partition of topics that the user may publish to and that hold readings."""
        self._aliases: dict[int, bytes] = {}
        self._to_release: set[int] = set()
        """Packet ids of QoS 2 between PUBLISH and PUBREL: a message that comes again is not a second one."""
        self._unanswered_pubrecs = 0
        self._arrivals: Arrivals | None = None
        self._answers: list[bytes] = []
        self._count = 0
        self._size = 0

    def publish(self, packet: Publish) -> None:
        """Takes a message. Raises ProtocolError."""
        partition = self._known.get(packet.topic)
        payload = packet.payload
        size = len(payload)
        if partition is None or packet.properties or packet.qos == 2 or size > self._bounds.payload_bytes:
            self._publish_unusual(packet)
            return
        arrivals = self._intake.arrivals
        if arrivals is not self._arrivals:
            self._follow(arrivals)
        arrivals.records[partition].append((packet.topic, payload))
        self._count += 1
        self._size += size
        if packet.qos:
            self._answers.append(PUBACKS[packet.mid])
            self.held += 1

    def too_large(self, packet: Oversized) -> None:
        """Takes what was skipped: a dead letter with its first bytes."""
        message = Publish(packet.topic, packet.head, packet.qos, packet.mid, False, False, {})
        self._refuse(message, "size", ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, self._size_detail(packet.size))

    def will(self, will: Will) -> None:
        """Publishes a will, which nobody waits for."""
        message = Publish(will.topic.encode(), will.payload, 0, 0, False, False, will.properties)
        self._publish_unusual(message)
        self.flush()

    def release(self, mid: int) -> bool:
        """Forgets a packet id of QoS 2; whether it was known."""
        known = mid in self._to_release
        self._to_release.discard(mid)
        return known

    def answered(self, packets: Sequence[bytes]) -> None:
        """Notes that these acknowledgements go out."""
        self.held -= len(packets)
        if self._unanswered_pubrecs:
            self._unanswered_pubrecs -= sum(packet[0] == _PUBREC for packet in packets)

    def flush(self) -> None:
        """Hands what was taken to the intake; called when all that has arrived was taken."""
        if self._count:
            metrics.mqtt_received.inc(self._count)
            count, size, self._count, self._size = self._count, self._size, 0, 0
            self._intake.arrived(count, size)

    def forget_topics(self) -> None:
        """Looks again at each topic: the user's rights, or the client's mark, may have changed."""
        self._known.clear()

    @property
    def under_way(self) -> int:
        """Messages of QoS 1 and 2 whose exchange is not complete: what the receive maximum bounds."""
        return self.held - self._unanswered_pubrecs + len(self._to_release)

    # -- everything but a known topic without properties

    def _publish_unusual(self, packet: Publish) -> None:
        properties = packet.properties
        topic = self._resolved(packet.topic, properties.get(Property.TOPIC_ALIAS)) if properties else packet.topic
        message = Publish(topic, packet.payload, packet.qos, packet.mid, packet.dup, packet.retain, properties)
        if packet.dup:
            metrics.mqtt_redelivered.inc()
        if packet.qos == 2 and packet.mid in self._to_release:
            metrics.mqtt_repeated.inc()
            self._counted(packet)
            self._answer(message, ReasonCode.SUCCESS)  # behind the first one's, in this batch or a later one
            return
        partition = self._known.get(topic)
        if partition is None:
            refused = self._refused_topic(topic)
            if refused is not None:
                self._refuse(message, *refused)
                return
            partition = self._routes.partition(topic)
            if not self._session.mark:  # else no message is a usual one
                if len(self._known) >= CONNECTION_TOPICS:
                    self._known.clear()
                self._known[topic] = partition
        if len(packet.payload) > self._bounds.payload_bytes:
            detail = self._size_detail(len(packet.payload))
            self._refuse(message, "size", ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, detail)
            return
        if properties.get(Property.PAYLOAD_FORMAT_INDICATOR) == 1 and not _is_utf8(packet.payload):
            detail = "its properties call the payload UTF-8, and it is not"
            self._refuse(message, "json", ReasonCode.PAYLOAD_FORMAT_INVALID, detail)
            return
        headers = publish_headers(properties) if properties else []
        if self._session.mark:
            headers.append((PUBLISHER, self._session.mark))
        headers_size = sum(len(name) + len(value) for name, value in headers)
        if headers_size > HEADERS_BYTES:
            detail = f"properties of {headers_size} bytes as headers, more than the {HEADERS_BYTES} allowed"
            self._refuse(message, "size", ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, detail)
            return
        arrivals = self._intake.arrivals
        record = (topic, packet.payload, headers) if headers else (topic, packet.payload)
        arrivals.records[partition].append(record)
        self._counted(message, headers_size)
        self._answer(message, ReasonCode.SUCCESS)

    def _resolved(self, topic: bytes, alias: int | None) -> bytes:
        """The topic of a message, whose alias may stand for it. Raises ProtocolError."""
        if alias is None:
            return topic
        if not 0 < alias <= self._bounds.topic_aliases:
            raise ProtocolError(
                f"topic alias {alias}, the largest is {self._bounds.topic_aliases}", ReasonCode.TOPIC_ALIAS_INVALID
            )
        if topic:
            self._aliases[alias] = topic
            return topic
        if alias not in self._aliases:
            raise ProtocolError(f"topic alias {alias} was never set", ReasonCode.PROTOCOL_ERROR)
        return self._aliases[alias]

    def _refused_topic(self, topic: bytes) -> tuple[Reason, ReasonCode, str] | None:
        """Why a message on this topic cannot be used; None: it can."""
        if len(topic) > self._bounds.topic_bytes:
            detail = f"a topic of {len(topic)} bytes, more than the {self._bounds.topic_bytes} allowed"
            return "topic", ReasonCode.TOPIC_NAME_INVALID, detail
        problem = topic_problem(topic)
        if problem:
            return "topic", ReasonCode.TOPIC_NAME_INVALID, problem
        text = topic.decode()
        if not self._session.rights.may_publish(text):
            return "rights", ReasonCode.NOT_AUTHORIZED, f"user {self._session.user} may not publish to {text[:200]!r}"
        if self._routes.partition(topic) == NOT_ACCEPTED:
            return "topic", ReasonCode.TOPIC_NAME_INVALID, f"no filter of mqtt_filters matches {text[:200]!r}"
        return None

    def _size_detail(self, size: int) -> str:
        return f"{size} bytes, more than the {self._bounds.payload_bytes} allowed"

    def _refuse(self, packet: Publish, reason: Reason, code: ReasonCode, detail: str) -> None:
        """Makes a dead letter. MQTT 5 learns the reason; before it, there is no code for it: it is acknowledged."""
        topic = packet.topic.decode(errors="replace")
        letter = DeadLetter("mqtt", reason, detail, packet.payload, packet.topic, topic)
        self._intake.arrivals.letters.append(letter)
        self._counted(packet)
        self._answer(packet, code if self._session.level >= 5 else ReasonCode.SUCCESS, detail)

    def _counted(self, packet: Publish, headers_size: int = 0) -> None:
        self._count += 1
        self._size += len(packet.topic) + len(packet.payload) + headers_size  # a refused topic may be long

    def _answer(self, packet: Publish, code: ReasonCode, detail: str = "") -> None:
        """Notes the answer to a message, for when Kafka has it."""
        if not packet.qos:
            return
        arrivals = self._intake.arrivals
        if arrivals is not self._arrivals:
            self._follow(arrivals)
        kind = PacketType.PUBACK if packet.qos == 1 else PacketType.PUBREC
        properties: Properties = {}
        if detail and code != ReasonCode.SUCCESS and self._session.wants_reasons:
            properties = {Property.REASON_STRING: detail[:200].replace("\0", "")}
        if packet.qos == 2:
            self._unanswered_pubrecs += 1
            # a client of MQTT 3 may have more under way: of those, one that comes again is the same reading twice
            if code < ReasonCode.UNSPECIFIED_ERROR and len(self._to_release) <= self._bounds.in_flight:
                self._to_release.add(packet.mid)
        self._answers.append(encode(Ack(kind, packet.mid, code, properties), self._session.level))
        self.held += 1

    def _follow(self, arrivals: Arrivals) -> None:
        self._arrivals, self._answers = arrivals, []
        arrivals.answers.append((self._connection, self._answers))


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
