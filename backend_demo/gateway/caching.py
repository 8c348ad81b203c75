"""What a client may keep of an answer, and how it asks whether that is still right (RFC 9110, 8.8; RFC 9111). Pure.

A late reading may come into any range at any time, so a range whose end is past is kept and asked for again each time;
its ETag is made of the rows themselves. They are weak ones: an answer is the same, compressed or not.
"""

from __future__ import annotations

import hashlib
from typing import Final

from backend_demo import __version__

#: Of a range that is still going on.
OPEN: Final = {"Cache-Control": "no-store", "Vary": "Accept"}


def closed(etag: str) -> dict[str, str]:
    """The headers of a range that is over, but for late readings."""
    return {"Cache-Control": "private, no-cache", "ETag": etag, "Vary": "Accept"}


def etag(*parts: object) -> str:
    """Of what makes the answer: its rows, or their checksum with the query. Another version of ours has others."""
    hashed = hashlib.blake2b(__version__.encode(), digest_size=12)
    for part in parts:
        hashed.update(part if isinstance(part, bytes) else repr(part).encode())
        hashed.update(b"\0")
    return f'W/"{hashed.hexdigest()}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this answer already; weak and strong tags are compared alike."""
    if if_none_match is None:
        return False
    tags = [tag.strip() for tag in if_none_match.split(",")]
    return "*" in tags or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in tags]
