"""Where a live stream stands in Kafka's log, and the id that says so: opaque, of one log, for any gateway. Pure."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from typing import Self

_CHECKSUM_BYTES = 4


class Place:
    """The offset that comes next in each partition, in a fixed order of the partitions.

    The id holds all of them, so it is exact whatever the order in which a gateway read the partitions. Its checksum
    covers `log`, the name of the log: an id of another Kafka, or one that was changed, is not taken for a place.
    """

    def __init__(self, log: str, offsets: Sequence[int]) -> None:
        self._seed = zlib.crc32(log.encode())
        self._offsets = list(offsets)
        self._encoded = [_varint(offset) for offset in offsets]

    @classmethod
    def read(cls, log: str, count: int, given: str) -> Self:
        """The place that an id tells, of this many partitions. Raises ValueError: it is no id of this log."""
        try:
            raw = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as problem:
            raise ValueError("is no id of this stream") from problem
        place = cls(log, _offsets(raw[_CHECKSUM_BYTES:]))
        if len(place._offsets) != count or place.id().decode() != given:
            raise ValueError("is no id of this stream, or of another Kafka")
        return place

    @property
    def offsets(self) -> tuple[int, ...]:
        """The offset that comes next in each partition."""
        return tuple(self._offsets)

    def move(self, index: int, offset: int) -> None:
        """Goes to an offset of the partition with this index."""
        if self._offsets[index] != offset:
            self._offsets[index] = offset
            self._encoded[index] = _varint(offset)

    def id(self) -> bytes:
        """The place as a client keeps it."""
        offsets = b"".join(self._encoded)
        checksum = zlib.crc32(offsets, self._seed).to_bytes(_CHECKSUM_BYTES, "big")
        return base64.urlsafe_b64encode(checksum + offsets).rstrip(b"=")

    def behind(self, offsets: Sequence[int]) -> int:
        """Records between here and there, where it is behind."""
        return sum(max(0, there - here) for here, there in zip(self._offsets, offsets, strict=True))

    def ahead(self, offsets: Sequence[int]) -> int:
        """Records between here and there, where it is ahead."""
        return sum(max(0, here - there) for here, there in zip(self._offsets, offsets, strict=True))


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit tells that there are more."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _offsets(raw: bytes) -> list[int]:
    """The numbers in these bytes; an unfinished one at the end is left out."""
    offsets, number, shift = [], 0, 0
    for byte in raw:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte <= 0x7F:
            offsets.append(number)
            number = shift = 0
    return offsets
