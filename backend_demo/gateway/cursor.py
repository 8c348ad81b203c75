"""Cursors: where a page ended, for the client to hand back, in a form that invites nobody to make one. Pure."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Annotated

import msgspec

from backend_demo.domain.load import Key
from backend_demo.domain.topics import SENSOR_MAX


class _Cursor(msgspec.Struct, array_like=True):
    sensor: Annotated[int, msgspec.Meta(ge=0, le=SENSOR_MAX)]
    timestamp: float
    query: int
    """A checksum of what was asked: a cursor of another query would skip rows in silence."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Cursor).decode


def write(key: Key, query: object) -> str:
    """The cursor behind the row with this key, of this query."""
    return base64.urlsafe_b64encode(_encode(_Cursor(*key, _checksum(query)))).decode().rstrip("=")


def read(cursor: str, query: object) -> Key:
    """The key of the last row of the page before. Raises ValueError when the cursor is not of this query."""
    try:
        found = _decode(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, msgspec.DecodeError, ValueError) as problem:
        raise ValueError("is no cursor of this gateway") from problem
    if found.query != _checksum(query):
        raise ValueError("belongs to a query with other parameters")
    return found.sensor, found.timestamp


def _checksum(query: object) -> int:
    return zlib.crc32(repr(query).encode())
