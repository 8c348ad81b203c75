"""The data types of MQTT as bytes: integers, texts, binary data."""

from __future__ import annotations

from backend_demo.mqtt.codec.packets import ProtocolError

#: Largest length of a text or of binary data, bytes.
TEXT_MAX = 65_535
#: Largest variable byte integer; so a packet has at most 256 MiB.
VARINT_MAX = 268_435_455


class PacketReader:
    """Takes values from the front of a packet's body. Every method raises ProtocolError when the body is too short."""

    __slots__ = ("_buffer", "_stop", "position")

    def __init__(self, buffer: bytes, position: int, stop: int) -> None:
        self._buffer = buffer
        self._stop = stop
        self.position = position

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return self._stop - self.position

    def raw(self, size: int) -> bytes:
        start = self.position
        self.position = start + size
        if self.position > self._stop:
            raise ProtocolError("a packet ends in the middle of a value")
        return self._buffer[start : self.position]

    def integer(self, size: int) -> int:
        return int.from_bytes(self.raw(size), "big")

    def varint(self) -> int:
        """A variable byte integer, which must have no more bytes than it needs."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.integer(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    raise ProtocolError("a variable byte integer is longer than it needs to be")
                return value
        raise ProtocolError("a variable byte integer has more than 4 bytes")

    def binary(self) -> bytes:
        return self.raw(self.integer(2))

    def text(self) -> str:
        raw = self.binary()
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise ProtocolError("a text is not UTF-8") from None
        if "\0" in text:
            raise ProtocolError("a text contains U+0000")
        return text

    def packet_id(self) -> int:
        mid = self.integer(2)
        if not mid:
            raise ProtocolError("packet identifier 0")
        return mid

    def part(self, size: int) -> PacketReader:
        """A reader of the next `size` bytes, which this one leaves out."""
        start = self.position
        self.raw(size)
        return PacketReader(self._buffer, start, self.position)

    def finish(self) -> None:
        """Raises ProtocolError if anything is left."""
        if self.left:
            raise ProtocolError(f"a packet is {self.left} bytes longer than its content")


def varint(value: int) -> bytes:
    """A variable byte integer. Raises ValueError above 268,435,455."""
    if value < 0x80:
        return bytes((value,))
    if value > VARINT_MAX:
        raise ValueError(f"{value} is more than MQTT can count")
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def binary(raw: bytes) -> bytes:
    """Binary data behind its length. Raises ValueError above 65,535 bytes."""
    if len(raw) > TEXT_MAX:
        raise ValueError(f"{len(raw)} bytes are more than the {TEXT_MAX} of a text in MQTT")
    return len(raw).to_bytes(2, "big") + raw


def text(value: str) -> bytes:
    """A text behind its length. Raises ValueError above 65,535 bytes, and for what is not UTF-8."""
    return binary(value.encode())
