"""Turns the bytes of one connection into packets, without keeping more of them than one packet."""

from __future__ import annotations

from collections.abc import Iterator

from backend_demo.mqtt.codec.bodies import decode_body
from backend_demo.mqtt.codec.packets import (
    Connect,
    Oversized,
    Packet,
    PacketType,
    Properties,
    ProtocolError,
    Publish,
    ReasonCode,
)
from backend_demo.mqtt.codec.properties import ALLOWED, TO_BROKER, read_properties
from backend_demo.mqtt.codec.wire import PacketReader

#: Largest CONNECT, bytes: a client does not know the limits before it is connected.
CONNECT_BYTES = 65_536

#: What a broker never receives once it is connected: a second CONNECT, and what only brokers send.
_NOT_TO_BROKER = {
    PacketType.CONNECT,
    PacketType.CONNACK,
    PacketType.SUBACK,
    PacketType.UNSUBACK,
    PacketType.PINGRESP,
}
_NOT_TO_CLIENT = {PacketType.CONNECT, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE, PacketType.PINGREQ}
#: Packets whose lower half of the first byte is 2; MQTT 3.1 may set it to something else.
_FLAGGED = {PacketType.PUBREL, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE}

_Flags = tuple[int, bool, bool]

#: QoS, dup and retain by the first byte of a packet; None for what is not PUBLISH, or not a valid one.
_PUBLISH: tuple[_Flags | None, ...] = tuple(
    (first >> 1 & 3, first & 8 != 0, first & 1 != 0)
    if first >> 4 == PacketType.PUBLISH and first & 6 != 6 and first & 14 != 8
    else None
    for first in range(256)
)
_NO_PUBLISH: tuple[_Flags | None, ...] = (None,) * 256


class Decoder:
    """The incoming half of a connection; after a ProtocolError it is of no more use.

    `packet_bytes`: the largest packet. A larger PUBLISH is an error at level 5; below, where a client cannot be told,
    its bytes are dropped as they come and it becomes an `Oversized` with the first `head_bytes` of its payload.
    `level`: of a connection that this end has opened; 0 is a broker's decoder, which takes it from CONNECT.
    """

    def __init__(self, *, packet_bytes: int, head_bytes: int = 65_536, level: int = 0) -> None:
        self.level = level
        self._packet_bytes = packet_bytes
        self._head_bytes = head_bytes
        self._in_broker = level == 0
        self._limit = packet_bytes if level else CONNECT_BYTES
        self._pending = bytearray()
        self._needed = 0
        """Bytes that `_pending` must have before another look at it makes sense."""
        self._skipped: _Skipped | None = None

    @property
    def partial(self) -> bool:
        """Whether a packet has begun and is not complete."""
        return bool(self._pending) or self._skipped is not None

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yields every packet that is complete with this data; must be exhausted before the next call.

        Raises ProtocolError where the stream is malformed, after the packets before that place.
        """
        position = 0
        if self._skipped is not None:
            position = self._skipped.take(data, 0)
            if self._skipped.left:
                return
            yield self._end_of_skipped()
        elif self._pending:
            self._pending += data
            if len(self._pending) < self._needed:
                return
            data = bytes(self._pending)
            self._pending.clear()
        self._needed = 0
        end = len(data)
        last = end - 1
        level, limit = self.level, self._limit
        publish_flags = _PUBLISH if level else _NO_PUBLISH
        while position < last:
            first = data[position]
            size = data[position + 1]
            start = position + 2
            if size > 127:
                size, start = self._long_size(data, position + 1)
                if not start:
                    break
            stop = start + size
            if stop > end or stop - position > limit:
                self._check(first, stop - position)
                if stop - position > limit:
                    self._skipped = _Skipped(first, size, self._head_bytes)
                    position = self._skipped.take(data, start)
                    if self._skipped.left:
                        return
                    yield self._end_of_skipped()
                    continue
                self._needed = stop - position
                break
            flags = publish_flags[first]
            if flags is None:
                self._check(first, stop - position)
                packet = self._decode(first, data, start, stop)
                level, limit = self.level, self._limit
                publish_flags = _PUBLISH
                position = stop
                yield packet
                continue
            # here a message spends most of its time in this module
            qos, dup, retain = flags
            if size < 2:
                raise self._error("PUBLISH without a topic")
            body = start + 2 + (data[start] << 8 | data[start + 1])
            topic = data[start + 2 : body]
            mid = 0
            if qos:
                body += 2
                if body > stop:
                    raise self._error("PUBLISH is shorter than its topic")
                mid = data[body - 2] << 8 | data[body - 1]
                if not mid:
                    raise self._error("packet identifier 0")
            elif body > stop:
                raise self._error("PUBLISH is shorter than its topic")
            position = stop
            if level < 5:
                yield Publish(topic, data[body:stop], qos, mid, dup, retain)
            elif body < stop and not data[body]:  # no properties: a fifth of the time that a reader of them takes
                yield Publish(topic, data[body + 1 : stop], qos, mid, dup, retain)
            else:
                reader = PacketReader(data, body, stop)
                properties = self._properties(reader)
                yield Publish(topic, data[reader.position : stop], qos, mid, dup, retain, properties)
        self._pending += data[position:]

    def _long_size(self, data: bytes, position: int) -> tuple[int, int]:
        """The remaining length of more than one byte, and where the body starts; 0 while it is incomplete."""
        size = 0
        for index, byte in enumerate(data[position : position + 4]):
            size |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if not byte and self.level == 5:
                    raise self._error("a remaining length is longer than it needs to be")
                return size, position + index + 1
        if len(data) - position >= 4:
            raise self._error("a remaining length has more than 4 bytes")
        return 0, 0

    def _check(self, first: int, total: int) -> None:
        """Raises ProtocolError for a packet that must not come; done before its body is there, so nobody waits for it.

        `total`: the bytes of the whole packet.
        """
        if first < 0x10:
            raise self._error("packet type 0")
        kind = PacketType(first >> 4)
        if not self.level and kind is not PacketType.CONNECT:
            raise self._error(f"{kind.name} before CONNECT", ReasonCode.PROTOCOL_ERROR)
        if self.level and kind in (_NOT_TO_BROKER if self._in_broker else _NOT_TO_CLIENT):
            raise self._error(f"unexpected {kind.name}", ReasonCode.PROTOCOL_ERROR)
        if kind is PacketType.AUTH and self.level < 5:
            raise self._error("AUTH exists in MQTT 5 only", ReasonCode.PROTOCOL_ERROR)
        if kind is PacketType.PUBLISH:
            if _PUBLISH[first] is None:
                raise self._error(f"PUBLISH has invalid flags 0x{first & 15:x}")
        elif first & 15 != (2 if kind in _FLAGGED else 0) and not (kind in _FLAGGED and self.level == 3):
            raise self._error(f"{kind.name} has invalid flags 0x{first & 15:x}")
        if total > self._limit and (kind is not PacketType.PUBLISH or self.level == 5):
            message = f"{kind.name} has {total} bytes, more than the {self._limit} allowed"
            raise self._error(message, ReasonCode.PACKET_TOO_LARGE)

    def _decode(self, first: int, data: bytes, start: int, stop: int) -> Packet:
        """Any packet but PUBLISH."""
        try:
            packet = decode_body(PacketType(first >> 4), PacketReader(data, start, stop), self.level)
        except ProtocolError as problem:
            if self.level:
                problem.level = max(4, self.level)
            raise
        if isinstance(packet, Connect):
            self.level, self._limit = packet.level, self._packet_bytes
        return packet

    def _properties(self, reader: PacketReader) -> Properties:
        """The properties of a PUBLISH."""
        try:
            return read_properties(reader, TO_BROKER if self._in_broker else ALLOWED[PacketType.PUBLISH], "PUBLISH")
        except ProtocolError as problem:
            problem.level = 5
            raise

    def _end_of_skipped(self) -> Oversized:
        assert self._skipped is not None  # noqa: S101 - narrows a type
        skipped, self._skipped = self._skipped, None
        return skipped.packet()

    def _error(self, message: str, reason: ReasonCode = ReasonCode.MALFORMED_PACKET) -> ProtocolError:
        return ProtocolError(message, reason, level=max(4, self.level))


class _Skipped:
    """A PUBLISH below level 5 that is too large; `size` counts the bytes of its body."""

    def __init__(self, first: int, size: int, head_bytes: int) -> None:
        self._flags = _PUBLISH[first] or (0, False, False)
        self._size = self.left = size
        self._head_bytes = head_bytes
        self._kept = bytearray()
        self._keep = 2

    def take(self, data: bytes, position: int) -> int:
        """Takes what belongs to this packet; returns the position behind it."""
        stop = position + min(self.left, len(data) - position)
        self.left -= stop - position
        while len(self._kept) < self._keep and position < stop:
            part = data[position : min(stop, position + self._keep - len(self._kept))]
            self._kept += part
            position += len(part)
            if self._keep == 2 == len(self._kept):
                self._keep = 2 + int.from_bytes(self._kept, "big") + 2 + self._head_bytes
        return stop

    def packet(self) -> Oversized:
        qos, _, _ = self._flags
        start = 2 + int.from_bytes(self._kept[:2], "big")
        topic = bytes(self._kept[2:start])
        body = start + 2 if qos else start
        if self._size < max(2, body):
            raise ProtocolError("PUBLISH is shorter than its topic")
        mid = int.from_bytes(self._kept[start:body], "big")
        if qos and not mid:
            raise ProtocolError("packet identifier 0")
        head = bytes(self._kept[body : body + self._head_bytes])
        return Oversized(topic, head, self._size - body, qos, mid)
