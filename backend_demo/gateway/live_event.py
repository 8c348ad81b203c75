"""What a live stream tells: a record as an event, and its two forms on the wire, server-sent or by WebSocket. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from backend_demo.domain.reading import UNREADABLE, Reading, decode_aggregate, decode_reading, encode
from backend_demo.domain.topics import AGGREGATED_DATA, DEAD_LETTER, PROCESSED_DATA
from backend_demo.operations.dead_letters import refused
from backend_demo.operations.tail_merge import Record

Topic = Literal["readings", "averages", "dead-letters"]
"""What a client can ask for."""

#: Kafka's topic of each, and the name of its events.
TOPICS: dict[Topic, str] = {"readings": PROCESSED_DATA, "averages": AGGREGATED_DATA, "dead-letters": DEAD_LETTER}
_NAMES = {PROCESSED_DATA: b"reading", AGGREGATED_DATA: b"average", DEAD_LETTER: b"dead-letter"}


class Event(msgspec.Struct, frozen=True, gc=False):
    """One record as its readers get it."""

    topic: str
    """Kafka's name of it."""
    partition: int
    """Its index among all partitions of the streams."""
    offset: int
    sensor: int | None
    data: bytes
    """One JSON document, in one line."""


def event(record: Record, partition: int) -> Event | None:
    """The event of a record; None: it holds nothing to tell, like a repair, or nothing that can be read."""
    raw = record.value
    if record.topic == DEAD_LETTER:
        letter = refused(record)
        return Event(DEAD_LETTER, partition, record.offset, letter.sensor, msgspec.json.encode(letter))
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
    # encoded anew: a line break in a foreign record would be the end of the event
    return Event(record.topic, partition, record.offset, found.sensor, encode(found))


@dataclass(frozen=True)
class Wanted:
    """What a client asked for: topics by Kafka's names, and sensors, none: all."""

    topics: frozenset[str]
    sensors: frozenset[int]

    def __call__(self, event: Event) -> bool:
        return event.topic in self.topics and (not self.sensors or event.sensor in self.sensors)


class Form(Protocol):
    """How events look on the wire."""

    def event(self, event: Event, at: bytes) -> bytes:
        """An event; `at`: the id behind it."""

    def notice(self, code: str, detail: str) -> bytes:
        """What a client should know of its stream."""

    def keep_alive(self, at: bytes | None) -> bytes:
        """A sign of life; with an id where the stream has gone on without an event for this client."""


class ServerSent:
    """Lines of `text/event-stream`. An empty line stands only behind data: some readers take it for an event."""

    def event(self, event: Event, at: bytes) -> bytes:
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (at, _NAMES[event.topic], event.data)

    def notice(self, code: str, detail: str) -> bytes:
        return b"event: notice\ndata: %b\n\n" % msgspec.json.encode({"code": code, "detail": detail})

    def keep_alive(self, at: bytes | None) -> bytes:
        return b":\n" if at is None else b"id: %b\nevent: keep-alive\ndata: {}\n\n" % at


class WebSocketFrames:
    """Messages as whole WebSocket frames: a server's are the same for every client, so they are made once."""

    def event(self, event: Event, at: bytes) -> bytes:
        return text_frame(b'{"event":"%b","id":"%b","data":%b}' % (_NAMES[event.topic], at, event.data))

    def notice(self, code: str, detail: str) -> bytes:
        told = {"event": "notice", "id": None, "data": {"code": code, "detail": detail}}
        return text_frame(msgspec.json.encode(told))

    def keep_alive(self, at: bytes | None) -> bytes:
        # otherwise the server's pings are the sign of life
        return b"" if at is None else text_frame(b'{"event":"keep-alive","id":"%b","data":{}}' % at)


def text_frame(message: bytes) -> bytes:
    """A text message as one frame of a server (RFC 6455, 5.2): not masked, not compressed."""
    size = len(message)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + message
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + message
    return b"\x81\x7f" + size.to_bytes(8, "big") + message


class Batch:
    """Events with their ids; what several clients get of them is made once."""

    def __init__(self, events: Sequence[Event], ids: Sequence[bytes]) -> None:
        self._events, self._ids = events, ids
        self._lines: dict[Form, list[bytes]] = {}
        self._made: dict[tuple[Form, Wanted], bytes] = {}

    def bytes_for(self, form: Form, wanted: Wanted) -> bytes:
        """The wanted events in this form; nothing when there are none."""
        found = self._made.get((form, wanted))
        if found is None:
            if form not in self._lines:
                self._lines[form] = list(map(form.event, self._events, self._ids))
            chosen = [line for event, line in zip(self._events, self._lines[form], strict=True) if wanted(event)]
            found = self._made[form, wanted] = b"".join(chosen)
        return found


SERVER_SENT = ServerSent()
WEB_SOCKET = WebSocketFrames()
