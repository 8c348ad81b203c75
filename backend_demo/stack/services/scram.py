"""SCRAM-SHA-512 (RFC 5802): what a server keeps of a password, and how a client proves that it knows it.

aiokafka can do the second as well, but importing it takes longer than all the rest of a `bdemo status`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import secrets
from collections.abc import Generator
from dataclasses import dataclass

MECHANISM = "SCRAM-SHA-512"

#: The fewest that Kafka takes. More protect passwords that can be guessed, which random ones cannot.
ITERATIONS = 4096

# without channel binding, and as no other user
_HEADER = b"n,,"


@dataclass(frozen=True)
class ScramKeys:
    """What a server keeps of a password: nobody can log in with it, nor find the password."""

    salt: bytes
    stored_key: bytes
    server_key: bytes

    @classmethod
    def of(cls, password: str) -> ScramKeys:
        """Those of a password, with a new salt."""
        salt = secrets.token_bytes(16)
        salted = _salted(password, salt, ITERATIONS)
        return cls(salt, hashlib.sha512(_hmac(salted, b"Client Key")).digest(), _hmac(salted, b"Server Key"))


def log_in(user: str, password: str) -> Generator[bytes, bytes, None]:
    """The client's side: yields what to send, and is sent each answer.

    Raises ValueError when the server does not prove that it knows the password. A user name holds no `,` and no `=`.
    """
    nonce = secrets.token_urlsafe(24)
    first = f"n={user},r={nonce}".encode()
    challenge = yield _HEADER + first
    found = _fields(challenge)
    if not found[b"r"].startswith(nonce.encode()):
        raise ValueError("the server answers another client")
    salted = _salted(password, base64.b64decode(found[b"s"]), int(found[b"i"]))
    final = b"c=" + base64.b64encode(_HEADER) + b",r=" + found[b"r"]
    signed = b",".join((first, challenge, final))
    client_key = _hmac(salted, b"Client Key")
    proof = bytes(a ^ b for a, b in zip(client_key, _hmac(hashlib.sha512(client_key).digest(), signed), strict=True))
    verdict = yield final + b",p=" + base64.b64encode(proof)
    expected = _hmac(_hmac(salted, b"Server Key"), signed)
    if not hmac.compare_digest(base64.b64decode(_fields(verdict).get(b"v", b"")), expected):
        raise ValueError("the server does not know the user's password itself")


def _fields(message: bytes) -> dict[bytes, bytes]:
    return {name: value for name, _, value in (field.partition(b"=") for field in message.split(b","))}


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha512")


@functools.lru_cache
def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
