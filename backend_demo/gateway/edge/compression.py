"""Compresses text answers piece by piece, as the client's `Accept-Encoding` prefers (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend_demo.gateway.edge.accept import preferences
from backend_demo.gateway.offload import offload

Coding = Literal["zstd", "gzip"]

#: The better one first: it wins a tie.
CODINGS: tuple[Coding, ...] = ("zstd", "gzip")
#: A shorter answer fits one packet, compressed or not, bytes.
MINIMUM_BYTES = 1000
#: A larger piece takes more than a millisecond, so a thread compresses it, bytes.
LARGE_BYTES = 32_768

# An event stream is text too, but must not wait; Parquet and Arrow are compressed already, or are read in place
_TEXT = re.compile(
    r"text/(?!event-stream)|application/(?:json|x-ndjson|javascript|xml|[\w.-]+\+(?:json|xml))|image/svg"
)


@dataclass(frozen=True)
class Accepted:
    """The coding that a request accepts."""

    coding: Coding | None
    """The preferred one; None: uncompressed."""
    must: bool = False
    """The client does not accept uncompressed text."""


def accepted(accept_encoding: str) -> Accepted:
    """Reads an `Accept-Encoding` header."""
    qualities = {_ALIASES.get(coding, coding): quality for coding, quality in preferences(accept_encoding)}
    others = qualities.get("*", 0.0)
    best = max(CODINGS, key=lambda coding: qualities.get(coding, others))
    quality = qualities.get(best, others)
    if quality == 0 or quality < qualities.get("identity", 0.0):
        return Accepted(None)
    return Accepted(best, must=qualities.get("identity", qualities.get("*", 1.0)) == 0)


_ALIASES = {"x-gzip": "gzip"}


class Compressed:
    """Middleware that compresses text answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Answer(scope, send).send)


class _Compressor(Protocol):
    def __call__(self, data: bytes, *, last: bool) -> bytes:
        """Compresses `data` so that all of it can be sent now: the next piece may take long to arrive."""


class _Answer:
    """One answer in progress."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._start: Message | None = None
        """Held back until the first piece of the body shows how long the answer is."""
        self._compress: _Compressor | None = None

    async def send(self, message: Message) -> None:
        """Replaces the server's `send`."""
        if message["type"] == "http.response.start":
            if _varies(message):
                self._start = message
            else:
                await self._send(message)
        elif message["type"] != "http.response.body":
            await self._send(message)
        else:
            if self._start is not None:
                await self._begin(self._start, message)
                self._start = None
            if self._compress is not None:
                message = {**message, "body": await self._compressed(message)}
            await self._send(message)

    async def _begin(self, start: Message, first: Message) -> None:
        whole = not first.get("more_body", False)
        small = whole and len(first.get("body", b"")) < MINIMUM_BYTES and start["status"] != 304
        wanted = accepted(Headers(scope=self._scope).get("accept-encoding", ""))
        if not small or wanted.must:
            start = {**start, "headers": list(start["headers"])}
            headers = MutableHeaders(raw=start["headers"])
            headers.add_vary_header("Accept-Encoding")
            if wanted.coding is not None and start["status"] != 304 and self._scope["method"] != "HEAD":
                self._compress = _COMPRESSORS[wanted.coding]()
                headers["Content-Encoding"] = wanted.coding
                del headers["Content-Length"]
                if etag := headers.get("etag"):
                    headers["ETag"] = etag if etag.startswith("W/") else f"W/{etag}"
        await self._send(start)

    async def _compressed(self, message: Message) -> bytes:
        assert self._compress is not None  # noqa: S101 - narrows a type
        body, last = message.get("body", b""), not message.get("more_body", False)
        if len(body) < LARGE_BYTES:
            return self._compress(body, last=last)
        return await offload(self._compress, body, last=last)


def _varies(start: Message) -> bool:
    """Whether the answer may be compressed, or refers to one that was (304)."""
    headers = Headers(raw=start["headers"])
    if start["status"] == 304:
        return True
    whole = start["status"] not in (204, 206) and "content-encoding" not in headers
    return whole and _TEXT.match(headers.get("content-type", "")) is not None


def _gzip() -> _Compressor:
    compressor = zlib.compressobj(4, wbits=31)

    def compress(data: bytes, *, last: bool) -> bytes:
        return compressor.compress(data) + compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)

    return compress


def _zstd() -> _Compressor:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    compressor = zstd.ZstdCompressor(level=1)

    def compress(data: bytes, *, last: bool) -> bytes:
        return compressor.compress(data, compressor.FLUSH_FRAME if last else compressor.FLUSH_BLOCK)

    return compress


_COMPRESSORS: dict[Coding, Callable[[], _Compressor]] = {"zstd": _zstd, "gzip": _gzip}
