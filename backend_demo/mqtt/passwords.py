"""Passwords as they are stored: scrypt, in a text that says how it was made."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from dataclasses import dataclass

SALT_BYTES = 16
HASH_BYTES = 32

#: Largest memory of one hash, bytes. OpenSSL needs a little more than the 128 * n * r of the algorithm.
_MEMORY_MAX = 64 * 1024**2

#: `$scrypt$ln=14,r=8,p=1$SALT$HASH`, base64 without padding: the form that other programs use, too.
_STORED = re.compile(
    r"\$scrypt\$ln=(?P<ln>\d{1,2}),r=(?P<r>\d{1,2}),p=(?P<p>\d)\$(?P<salt>[\w+/]{8,88})\$(?P<digest>[\w+/]{22,88})",
    re.ASCII,
)


@dataclass(frozen=True)
class HashCost:
    """What one hash costs: 128 * r * 2**ln bytes of memory, p times."""

    ln: int
    r: int = 8
    p: int = 1

    @property
    def is_affordable(self) -> bool:
        """Whether a check can be done at all, and in a reasonable time."""
        return min(self.ln, self.r) >= 1 and 1 <= self.p <= 4 and 128 * self.r * 2**self.ln <= _MEMORY_MAX // 2


#: 16 MiB and about 50 ms.
COST = HashCost(14)

#: For random passwords of the stack, which nobody can guess at any speed: `up` checks three of them.
RANDOM_COST = HashCost(10)


@dataclass(frozen=True)
class StoredPassword:
    """A hash with all that it takes to check a password against it."""

    cost: HashCost
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> StoredPassword:
        """Reads the stored form. Raises ValueError."""
        found = _STORED.fullmatch(text)
        if found is None:
            raise ValueError("not a password hash of the form $scrypt$ln=14,r=8,p=1$SALT$HASH")
        cost = HashCost(int(found["ln"]), int(found["r"]), int(found["p"]))
        if not cost.is_affordable:
            raise ValueError(f"a password hash that is too expensive to check (ln={cost.ln}, r={cost.r}, p={cost.p})")
        return cls(cost, _decoded(found["salt"]), _decoded(found["digest"]))

    @classmethod
    def of(cls, password: bytes, cost: HashCost = COST) -> StoredPassword:
        """Hashes a password with a new salt."""
        salt = os.urandom(SALT_BYTES)
        return cls(cost, salt, _scrypt(password, salt, cost, HASH_BYTES))

    def accepts(self, password: bytes) -> bool:
        """Whether this is the password. Takes as long for a wrong one."""
        return hmac.compare_digest(_scrypt(password, self.salt, self.cost, len(self.digest)), self.digest)

    def __str__(self) -> str:
        cost = self.cost
        return f"$scrypt$ln={cost.ln},r={cost.r},p={cost.p}${_encoded(self.salt)}${_encoded(self.digest)}"

    def __repr__(self) -> str:
        return "StoredPassword(...)"


def _scrypt(password: bytes, salt: bytes, cost: HashCost, length: int) -> bytes:
    return hashlib.scrypt(
        password, salt=salt, n=2**cost.ln, r=cost.r, p=cost.p, maxmem=_MEMORY_MAX * cost.p, dklen=length
    )


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as problem:
        raise ValueError("a password hash with invalid base64") from problem
