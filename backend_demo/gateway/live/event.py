"""Records as events of a live stream, and their two formats on the wire: server-sent events and WebSocket. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from backend_demo.domain.reading import UNREADABLE, Reading, decode_aggregate, decode_reading, encode
from backend_demo.domain.topics import AGGREGATED_DATA, DEAD_LETTER, PROCESSED_DATA
from backend_demo.operations.dead_letters.refused import refused
from backend_demo.operations.kafka_record import KafkaRecord

EventTopic = Literal["readings", "averages", "dead-letters"]
"""What a client can subscribe to."""

#: The Kafka topic behind each, and the name of its events.
TOPICS: dict[EventTopic, str] = {"readings": PROCESSED_DATA, "averages": AGGREGATED_DATA, "dead-letters": DEAD_LETTER}
_NAMES = {PROCESSED_DATA: b"reading", AGGREGATED_DATA: b"average", DEAD_LETTER: b"dead-letter"}


class StreamEvent(msgspec.Struct, frozen=True, gc=False):
    """One record as clients get it."""

    topic: str
    """The Kafka topic."""
    partition: int
    """Its index among all partitions of the streams."""
    offset: int
    sensor: int | None
    data: bytes
    """One JSON document on one line."""


def event(record: KafkaRecord, partition: int) -> StreamEvent | None:
    """The event of a record; None if there is nothing to send, as for a repair, or if it cannot be read."""
    raw = record.value
    if record.topic == DEAD_LETTER:
        letter = refused(record)
        return StreamEvent(DEAD_LETTER, partition, record.offset, letter.sensor, msgspec.json.encode(letter))
    if raw is None:
        return None
    try:
        if record.topic == PROCESSED_DATA:
            found = decode_reading(raw)
        else:
            average = decode_aggregate(raw)
            if average.value is None:
                return None
            found = Reading(average.sensor, average.timestamp, average.value)
    except UNREADABLE:
        return None
    # encoded again: a line break in a foreign record would end the event
    return StreamEvent(record.topic, partition, record.offset, found.sensor, encode(found))


@dataclass(frozen=True)
class Wanted:
    """A client's filter: Kafka topics, and sensors (none: all)."""

    topics: frozenset[str]
    sensors: frozenset[int]

    def __call__(self, event: StreamEvent) -> bool:
        return event.topic in self.topics and (not self.sensors or event.sensor in self.sensors)


class WireFormat(Protocol):
    """Encodes events for the wire."""

    def event(self, event: StreamEvent, at: bytes) -> bytes:
        """An event; `at` is the id from which a client resumes after it."""

    def notice(self, code: str, detail: str) -> bytes:
        """A message about the stream itself."""

    def keep_alive(self, at: bytes | None) -> bytes:
        """A sign of life; with an id if the stream has moved on without an event for this client."""


class ServerSent:
    """Lines of `text/event-stream`. An empty line comes only after data: some clients take it for an event."""

    def event(self, event: StreamEvent, at: bytes) -> bytes:
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (at, _NAMES[event.topic], event.data)

    def notice(self, code: str, detail: str) -> bytes:
        return b"event: notice\ndata: %b\n\n" % msgspec.json.encode({"code": code, "detail": detail})

    def keep_alive(self, at: bytes | None) -> bytes:
        return b":\n" if at is None else b"id: %b\nevent: keep-alive\ndata: {}\n\n" % at


class WebSocketFrames:
    """Messages as whole WebSocket frames: a server's frames are the same for every client, so each is made once."""

    def event(self, event: StreamEvent, at: bytes) -> bytes:
        return text_frame(b'{"event":"%b","id":"%b","data":%b}' % (_NAMES[event.topic], at, event.data))

    def notice(self, code: str, detail: str) -> bytes:
        message = {"event": "notice", "id": None, "data": {"code": code, "detail": detail}}
        return text_frame(msgspec.json.encode(message))

    def keep_alive(self, at: bytes | None) -> bytes:
        # without an id the server's pings are the sign of life
        return b"" if at is None else text_frame(b'{"event":"keep-alive","id":"%b","data":{}}' % at)


def text_frame(message: bytes) -> bytes:
    """A text message as one server frame (RFC 6455, 5.2), neither masked nor compressed."""
    size = len(message)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + message
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + message
    return b"\x81\x7f" + size.to_bytes(8, "big") + message


class EventBatch:
    """Events with their ids, encoded once for all clients with the same format and filter."""

    def __init__(self, events: Sequence[StreamEvent], ids: Sequence[bytes]) -> None:
        self._events, self._ids = events, ids
        self._lines: dict[WireFormat, list[bytes]] = {}
        self._made: dict[tuple[WireFormat, Wanted], bytes] = {}

    def bytes_for(self, wire: WireFormat, wanted: Wanted) -> bytes:
        """The wanted events in this format; empty if there are none."""
        found = self._made.get((wire, wanted))
        if found is None:
            if wire not in self._lines:
                self._lines[wire] = list(map(wire.event, self._events, self._ids))
            chosen = [line for event, line in zip(self._events, self._lines[wire], strict=True) if wanted(event)]
            found = self._made[wire, wanted] = b"".join(chosen)
        return found


SERVER_SENT = ServerSent()
WEB_SOCKET = WebSocketFrames()
