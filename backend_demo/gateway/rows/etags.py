"""Caching headers and ETags of answers made of rows (RFC 9110, 8.8; RFC 9111). Pure.

A late reading may change any range at any time, so even a range that has ended is revalidated each time, by an ETag of
the rows themselves. ETags are weak: an answer is the same whether compressed or not.
"""

from __future__ import annotations

import hashlib
from typing import Final

from backend_demo import __version__

#: Headers for a range that has not ended yet.
OPEN: Final = {"Cache-Control": "no-store", "Vary": "Accept"}


def closed(etag: str) -> dict[str, str]:
    """Headers for a range that has ended, except for late readings."""
    return {"Cache-Control": "private, no-cache", "ETag": etag, "Vary": "Accept"}


def etag(*parts: object) -> str:
    """An ETag of what determines the answer: its rows, or their checksum with the query. Each version has its own."""
    hashed = hashlib.blake2b(__version__.encode(), digest_size=12)
    for part in parts:
        hashed.update(part if isinstance(part, bytes) else repr(part).encode())
        hashed.update(b"\0")
    return f'W/"{hashed.hexdigest()}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client already has this answer; weak and strong tags compare as equal."""
    if if_none_match is None:
        return False
    tags = [tag.strip() for tag in if_none_match.split(",")]
    return "*" in tags or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in tags]
