"""The MQTT user who sends readings over HTTP: HTTP Basic. Pure."""

from __future__ import annotations

import base64
import binascii


def basic(header: str) -> tuple[str, bytes] | None:
    """User and password of an `Authorization` header; None if there are none."""
    scheme, _, given = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(given.strip(), validate=True).partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None
