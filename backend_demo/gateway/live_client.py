"""A client of the live streams: what waits to be sent to it, within a bound."""

from __future__ import annotations

import asyncio
from collections import deque

from backend_demo.gateway.live_event import Form, Wanted

#: Bytes that are handed to the connection at once.
PIECE_BYTES = 256 * 1024

#: Why a client is ended.
TOO_SLOW, ENDING, UNKNOWN_ID, OTHER_LOG = "too_slow", "ending", "unknown_id", "other_log"


class Client:
    """Takes bytes without waiting, and gives them in pieces; what is too slow for its bound is ended."""

    def __init__(self, form: Form, wanted: Wanted, *, bound_bytes: int) -> None:
        self.form = form
        self.wanted = wanted
        self.ended = asyncio.Event()
        self.reason = ""
        """Why it was ended: the code of its last notice."""
        self._bound = bound_bytes
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._last_words = b""
        self._ready = asyncio.Event()

    def put(self, piece: bytes) -> None:
        """Adds to what waits."""
        if self.ended.is_set():
            return
        if self._size + len(piece) > self._bound:
            self.end(
                TOO_SLOW, f"more than {self._bound} bytes waited; nothing is lost to who comes back with the last id"
            )
            return
        self._waiting.append(piece)
        self._size += len(piece)
        self._ready.set()

    def end(self, code: str, detail: str) -> None:
        """Ends the stream; what waits is given up for a last notice."""
        if self.ended.is_set():
            return
        self._waiting.clear()
        self._size = 0
        self.reason = code
        self._last_words = self.form.notice(code, detail)
        self.ended.set()
        self._ready.set()

    async def take(self, timeout_s: float) -> bytes | None:
        """The next piece; nothing when none came in this time; None after the last one."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            return b""
        if self.ended.is_set():
            words, self._last_words = self._last_words, b""
            return words or None
        pieces: list[bytes] = []
        size = 0
        while self._waiting and (not pieces or size + len(self._waiting[0]) <= PIECE_BYTES):
            pieces.append(self._waiting.popleft())
            size += len(pieces[-1])
        self._size -= size
        if not self._waiting:
            self._ready.clear()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
