"""Cursors: where a page ended, as an opaque text that the client sends back. Pure."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Annotated

import msgspec

from backend_demo.domain.loading import Key
from backend_demo.domain.names import SENSOR_MAX


class _Cursor(msgspec.Struct, array_like=True):
    sensor: Annotated[int, msgspec.Meta(ge=0, le=SENSOR_MAX)]
    timestamp: float
    query: int
    """A checksum of the query: with a cursor of another query, rows would be skipped silently."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Cursor).decode


def write(key: Key, query: object) -> str:
    """The cursor of this query after the row with this key."""
    return base64.urlsafe_b64encode(_encode(_Cursor(*key, _checksum(query)))).decode().rstrip("=")


def read(cursor: str, query: object) -> Key:
    """The key of the last row on the previous page. Raises ValueError if the cursor is not from this query."""
    try:
        found = _decode(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, msgspec.DecodeError, ValueError) as problem:
        raise ValueError("is not a cursor of this gateway") from problem
    if found.query != _checksum(query):
        raise ValueError("belongs to a query with other parameters")
    return found.sensor, found.timestamp


def _checksum(query: object) -> int:
    return zlib.crc32(repr(query).encode())
