"""A live stream's position in Kafka's log, and its id: opaque, tied to one log, valid at any gateway. Pure."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from typing import Self

_CHECKSUM_BYTES = 4


class StreamPosition:
    """The next offset of each partition, in a fixed order of the partitions.

    The id holds all of them, so it is exact in whatever order a gateway read the partitions. Its checksum covers `log`,
    the name of the log, so that an id of another Kafka, or an altered one, is rejected.
    """

    def __init__(self, log: str, offsets: Sequence[int]) -> None:
        self._seed = zlib.crc32(log.encode())
        self._offsets = list(offsets)
        self._encoded = [_varint(offset) for offset in offsets]

    @classmethod
    def read(cls, log: str, count: int, given: str) -> Self:
        """Reads an id of `count` partitions. Raises ValueError if it does not belong to this log."""
        try:
            raw = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as problem:
            raise ValueError("is not an id of this stream") from problem
        position = cls(log, _offsets(raw[_CHECKSUM_BYTES:]))
        if len(position._offsets) != count or position.id().decode() != given:
            raise ValueError("is not an id of this stream, or belongs to another Kafka")
        return position

    @property
    def offsets(self) -> tuple[int, ...]:
        """The next offset of each partition."""
        return tuple(self._offsets)

    def move(self, index: int, offset: int) -> None:
        """Sets the next offset of the partition with this index."""
        if self._offsets[index] != offset:
            self._offsets[index] = offset
            self._encoded[index] = _varint(offset)

    def id(self) -> bytes:
        """The position as an opaque id for the client."""
        offsets = b"".join(self._encoded)
        checksum = zlib.crc32(offsets, self._seed).to_bytes(_CHECKSUM_BYTES, "big")
        return base64.urlsafe_b64encode(checksum + offsets).rstrip(b"=")

    def behind(self, offsets: Sequence[int]) -> int:
        """Number of records by which it is behind these offsets, over the partitions where it is."""
        return sum(max(0, there - here) for here, there in zip(self._offsets, offsets, strict=True))

    def ahead(self, offsets: Sequence[int]) -> int:
        """Number of records by which it is ahead of these offsets, over the partitions where it is."""
        return sum(max(0, here - there) for here, there in zip(self._offsets, offsets, strict=True))


def _varint(number: int) -> bytes:
    """Seven bits per byte, lowest first; the highest bit means that more bytes follow."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _offsets(raw: bytes) -> list[int]:
    """Decodes the numbers; an incomplete one at the end is dropped."""
    offsets, number, shift = [], 0, 0
    for byte in raw:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte <= 0x7F:
            offsets.append(number)
            number = shift = 0
    return offsets
