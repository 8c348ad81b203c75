"""Decompresses a body piece by piece; no piece of the result is large, however well it was compressed. Pure."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Largest piece of the result, bytes: about a millisecond of work for what reads it.
PIECE_BYTES = 16_384
#: Largest window of a zstd frame, as a power of two: 8 MiB, what RFC 8878 asks every decoder to take.
_WINDOW_LOG_MAX = 23


class CodingInvalid(ValueError):
    """The body is not what its Content-Encoding says."""


class Decompressor(Protocol):
    """Takes the pieces of a body."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces of the result that can be made of it. Raises CodingInvalid."""

    def end(self) -> None:
        """Raises CodingInvalid if the body is incomplete."""


class Identity:
    """A body that is not compressed."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        for begin in range(0, len(data), PIECE_BYTES):
            yield data[begin : begin + PIECE_BYTES]

    def end(self) -> None:
        """Any end is good."""


class _Members:
    """A body of one or several compressed members, one after the other."""

    name = ""

    def __init__(self) -> None:
        self._eof = True
        """No member is in progress."""
        self._any = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or not self._eof:
            if self._eof:
                self._begin()
                self._eof, self._any = False, True
            try:
                piece, data, self._eof = self._next(data)
            except (zlib.error, zstd.ZstdError) as problem:
                raise CodingInvalid(f"the body is not {self.name}: {problem}") from problem
            if piece:
                yield piece
            elif not data and not self._eof:
                return

    def end(self) -> None:
        if not self._eof or not self._any:
            raise CodingInvalid(f"the body ends before its {self.name} does")

    def _begin(self) -> None:
        raise NotImplementedError

    def _next(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """A piece of the result, the data that is left, and whether the member has ended."""
        raise NotImplementedError


class Gzip(_Members):
    """A gzip body."""

    name = "gzip"

    def _begin(self) -> None:
        self._decompress = zlib.decompressobj(wbits=31)

    def _next(self, data: bytes) -> tuple[bytes, bytes, bool]:
        member = self._decompress
        piece = member.decompress(data, PIECE_BYTES)
        return piece, member.unused_data if member.eof else member.unconsumed_tail, member.eof


class Zstd(_Members):
    """A zstd body."""

    name = "zstd"

    def _begin(self) -> None:
        self._decompress = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})

    def _next(self, data: bytes) -> tuple[bytes, bytes, bool]:
        member = self._decompress
        piece = member.decompress(data, PIECE_BYTES)  # keeps the input that it has not used yet
        return piece, member.unused_data if member.eof else b"", member.eof


CODINGS: dict[str, Callable[[], Decompressor]] = {
    "": Identity,
    "identity": Identity,
    "gzip": Gzip,
    "x-gzip": Gzip,
    "zstd": Zstd,
}
