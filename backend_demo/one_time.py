"""Addresses that log a browser in: a token that works once and soon, exchanged for a cookie."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

#: Time in which a token must be used, seconds.
TOKEN_S = 120.0
#: Tokens that may wait to be used; the oldest gives way.
TOKENS_MAX = 32
#: Time for which a cookie lets its browser in, seconds.
SESSION_S = 12 * 3600


class OneTimeTokens:
    """Tokens that have been given out and not used. They are kept as digests, and compared in constant time."""

    def __init__(self, lasting_s: float = TOKEN_S) -> None:
        self._lasting_s = lasting_s
        self._waiting: dict[bytes, float] = {}

    def issue(self) -> str:
        """A new token."""
        while len(self._waiting) >= TOKENS_MAX:
            del self._waiting[next(iter(self._waiting))]
        token = secrets.token_urlsafe(32)
        self._waiting[_digest(token)] = time.monotonic() + self._lasting_s
        return token

    def redeem(self, token: str) -> bool:
        """Whether the token is valid; from now on it is not."""
        given, found = _digest(token), None
        for digest in self._waiting:
            if hmac.compare_digest(digest, given):
                found = digest
        return found is not None and self._waiting.pop(found) > time.monotonic()


class SessionCookies:
    """Cookies that tell by themselves whether they are valid: they are signed, and nothing is kept."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(b"session cookie\0" + key).digest()

    def issue(self) -> str:
        """A new cookie's value."""
        content = f"{int(time.time() + SESSION_S)}.{secrets.token_urlsafe(12)}"
        return f"{content}.{self._signature(content)}"

    def knows(self, value: str) -> bool:
        """Whether a cookie was issued here and has not expired."""
        content, _, signature = value.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(content).encode()):
            return False
        return int(content.partition(".")[0]) > time.time()

    def _signature(self, content: str) -> str:
        return hmac.new(self._key, content.encode(errors="replace"), hashlib.sha256).hexdigest()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
