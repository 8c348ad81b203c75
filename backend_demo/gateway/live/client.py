"""A client of the live streams, and the bounded buffer of what it has not been sent yet."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from backend_demo.gateway.live.event import Wanted, WireFormat

#: Maximum size of one write to the connection, bytes.
PIECE_BYTES = 256 * 1024
#: Silence after which a client gets a keep-alive, seconds.
KEEP_ALIVE_S = 10.0

#: Codes of the last notice: why a stream ends.
TOO_SLOW, ENDING, UNKNOWN_ID, OTHER_LOG = "too_slow", "ending", "unknown_id", "other_log"


class Client:
    """Buffers bytes without waiting, and gives them out in pieces; a client that falls behind its bound is ended.

    When the buffer is empty, bytes are sent at once: with hundreds of clients, waking the task of each for every piece
    costs several times as much as sending it.
    """

    def __init__(self, wire: WireFormat, wanted: Wanted, *, bound_bytes: int) -> None:
        self.wire = wire
        self.wanted = wanted
        self.ended = asyncio.Event()
        self.reason = ""
        """The code of its last notice; empty while the stream is open."""
        self._bound = bound_bytes
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._last_words = b""
        self._ready = asyncio.Event()
        self.send_now: Callable[[bytes], bool] = lambda piece: False
        """Sends a piece at once; returns False if the connection takes nothing at the moment."""
        self._idle = False
        """True while everything taken has been sent and `take` waits for more."""
        self._sent_at = 0.0

    def put(self, piece: bytes) -> None:
        """Sends a piece, or adds it to the buffer. Ends the client when the buffer would exceed its bound."""
        if self.ended.is_set():
            return
        if self._idle and not self._waiting and self.send_now(piece):
            self._sent_at = time.monotonic()
            return
        if self._size + len(piece) > self._bound:
            self.end(TOO_SLOW, f"more than {self._bound} bytes waited; reconnect with the last id to lose nothing")
            return
        self._waiting.append(piece)
        self._size += len(piece)
        self._ready.set()

    def end(self, code: str, detail: str) -> None:
        """Ends the stream: drops the buffer and leaves one last notice."""
        if self.ended.is_set():
            return
        self._waiting.clear()
        self._size = 0
        self.reason = code
        self._last_words = self.wire.notice(code, detail)
        self.ended.set()
        self._ready.set()

    async def take(self, timeout_s: float) -> bytes | None:
        """The next piece; empty after `timeout_s` seconds in which nothing was sent; None after the last notice.

        Taking a piece means that the one before it has been sent.
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
