"""Splits a body into its items while it arrives: lines, or the elements of a JSON array. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Protocol

from backend_demo.domain.reading import Rejected

Item = bytes | Rejected
"""The bytes of one item, or why there is none; the rejected bytes may be only its beginning."""

_BOM = b"\xef\xbb\xbf"

# An object without others in it, and what follows it; possessive, so that no input makes it search twice
_FLAT = re.compile(rb'\s*+(\{(?:[^{}\[\]"\\]++|"(?:[^"\\]++|\\.)*+")*+\})\s*+([,\]])', re.DOTALL)
_OUTSIDE = re.compile(rb'["{}\[\],]')
_INSIDE = re.compile(rb'["\\]')
_OPENING, _CLOSING = (b"{", b"["), (b"}", b"]")


class Splitter(Protocol):
    """Takes the pieces of a body, however it was cut, and gives its items in their order."""

    def feed(self, data: bytes) -> Iterator[Item]:
        """The items that this piece completes."""

    def end(self) -> Iterator[Item]:
        """The items that the end of the body completes."""


class LineItems:
    """One item per line, as in NDJSON and CSV; empty lines do not count. Holds one line at most."""

    def __init__(self, item_max: int) -> None:
        self._max = item_max
        self._rest = b""
        self._skipping = False
        """The rest of a line that is too long is discarded."""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[Item]:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            yield from self._line(line)
        if not self._skipping and len(self._rest) > self._max + len(_BOM):
            yield _too_long(self._rest, self._max)
            self._skipping = True
        if self._skipping:
            self._rest = b""

    def end(self) -> Iterator[Item]:
        line, self._rest = self._rest, b""
        yield from self._line(line)

    def _line(self, line: bytes) -> Iterator[Item]:
        if self._skipping:
            self._skipping = False
            return
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        line = line.strip(b" \t\r")
        if line:
            yield _too_long(line, self._max) if len(line) > self._max else line


class JsonItems:
    """The elements of a JSON array, or a single JSON object. Holds one element at most, and does not decode it.

    An array that breaks off, or goes on after its end, has one rejected item for that; the items before it are good.
    """

    def __init__(self, item_max: int) -> None:
        self._max = item_max
        self._buffer = b""
        self._scanned = 0
        """Bytes of the buffer that belong to the element in progress and have been looked at."""
        self._depth = 0
        self._in_string = self._escaped = False
        self._skipping = False
        self._elements = 0
        self._state: Callable[[], Iterator[Item]] = self._beginning

    def feed(self, data: bytes) -> Iterator[Item]:
        self._buffer += data
        yield from self._state()

    def end(self) -> Iterator[Item]:
        rest, self._buffer = self._buffer.strip(), b""
        if self._state == self._object:
            yield rest
        elif self._state == self._array:
            yield Rejected("json", "the array has no end", rest[: self._max])
        elif self._state == self._beginning and rest:  # less than a byte order mark
            yield Rejected("json", "neither an object nor an array", rest)

    def _beginning(self) -> Iterator[Item]:
        if _BOM.startswith(self._buffer) and len(self._buffer) < len(_BOM):
            return
        self._buffer = self._buffer.removeprefix(_BOM).lstrip()
        first = self._buffer[:1]
        if first == b"[":
            self._buffer = self._buffer[1:]
            self._state = self._array
        elif first == b"{":
            self._state = self._object
        elif first:
            yield from self._broken("neither an object nor an array")
            return
        else:
            return
        yield from self._state()

    def _object(self) -> Iterator[Item]:
        if len(self._buffer) > self._max:
            yield _too_long(self._buffer, self._max)
            self._state = self._nothing

    def _array(self) -> Iterator[Item]:
        at, begin = self._scanned, 0  # where the search goes on, and where the element begins
        while True:
            flat = None if at > begin or self._skipping else _FLAT.match(self._buffer, begin)
            if flat is not None:
                element, delimiter, at = flat[1], flat[2], flat.end()
            else:
                end, at = self._delimiter(at)
                if end is None:
                    break
                element, delimiter = self._buffer[begin:end].strip(), self._buffer[end : end + 1]
            begin = at
            if self._skipping:
                self._skipping = False
            elif element or delimiter == b"," or self._elements:
                yield _too_long(element, self._max) if len(element) > self._max else element or _MISSING
            self._elements += 1
            if delimiter != b",":
                self._buffer = self._buffer[begin:]
                if delimiter == b"}":
                    yield from self._broken("a bracket without its counterpart")
                else:
                    self._state = self._after
                    yield from self._after()
                return
        self._buffer = self._buffer[begin:]
        if not self._skipping and len(self._buffer) > self._max and len(self._buffer.lstrip()) > self._max:
            yield _too_long(self._buffer.lstrip(), self._max)
            self._skipping = True
        if self._skipping or not self._buffer.strip():
            self._buffer = b""
        self._scanned = len(self._buffer)

    def _delimiter(self, at: int) -> tuple[int | None, int]:
        """The place of the element's delimiter, if the buffer holds it, and where the search goes on."""
        data = self._buffer
        while at < len(data):
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                    at += 1
                    continue
                found = _INSIDE.search(data, at)
                if found is None:
                    break
                self._in_string, self._escaped = found[0] != b'"', found[0] == b"\\"
            else:
                found = _OUTSIDE.search(data, at)
                if found is None:
                    break
                if found[0] == b'"':
                    self._in_string = True
                elif found[0] in _OPENING:
                    self._depth += 1
                elif self._depth == 0:
                    return found.start(), found.end()
                elif found[0] in _CLOSING:
                    self._depth -= 1
            at = found.end()
        return None, len(data)

    def _after(self) -> Iterator[Item]:
        self._buffer = self._buffer.lstrip()
        if self._buffer:
            yield from self._broken("text after the end of the array")

    def _nothing(self) -> Iterator[Item]:
        self._buffer = b""
        yield from ()

    def _broken(self, detail: str) -> Iterator[Item]:
        """Reports the rest of the body as one rejected item, and looks at nothing more."""
        yield Rejected("json", detail, self._buffer[: self._max])
        self._state = self._nothing
        self._buffer = b""


_MISSING = Rejected("json", "nothing between two commas, or after the last one", b"")


def _too_long(begin: bytes, item_max: int) -> Rejected:
    return Rejected("size", f"more than the {item_max} bytes allowed", begin[:item_max])
