"""A client of the live streams: what waits to be sent to it, within a bound."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from backend_demo.gateway.live_event import Form, Wanted

#: Bytes that are handed to the connection at once.
PIECE_BYTES = 256 * 1024

#: Why a client is ended.
TOO_SLOW, ENDING, UNKNOWN_ID, OTHER_LOG = "too_slow", "ending", "unknown_id", "other_log"


class Client:
    """Takes bytes without waiting, and gives them in pieces; what is too slow for its bound is ended.

    With nothing before them, bytes are sent at once: with hundreds of clients, to wake the task of each for every
    piece costs several times what sending it does.
    """

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
        self.send_now: Callable[[bytes], bool] = lambda piece: False
        """Sends a piece at once if the connection takes it; False: it does not."""
        self._idle = False
        """All that was taken has been sent, and more is waited for."""
        self._sent_at = 0.0

    def put(self, piece: bytes) -> None:
        """Adds to what waits."""
        if self.ended.is_set():
            return
        if self._idle and not self._waiting and self.send_now(piece):
            self._sent_at = time.monotonic()
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
        """The next piece; nothing when none came in this time, nor was sent at once; None after the last one.

        Taking a piece says that the one before it has been sent.
        """
        self._idle = True
        self._sent_at = time.monotonic()
        try:
            while not self._ready.is_set():
                left = self._sent_at + timeout_s - time.monotonic()
                if left <= 0:
                    return b""
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._ready.wait()
        finally:
            self._idle = False
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
