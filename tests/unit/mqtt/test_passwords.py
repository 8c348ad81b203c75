"""Stored passwords: what is right, what is wrong, and what cannot be used."""

from __future__ import annotations

import hashlib

import pytest

from backend_demo.mqtt.passwords import COST, HashCost, StoredPassword

CHEAP = HashCost(4)


def test_only_the_password_is_accepted_also_after_it_was_stored() -> None:
    stored = StoredPassword.parse(str(StoredPassword.of(b"correct \x00\xff horse", CHEAP)))
    assert stored.accepts(b"correct \x00\xff horse")
    for wrong in (b"", b"correct", b"correct \x00\xff horse ", b"Correct \x00\xff horse"):
        assert not stored.accepts(wrong)


def test_the_same_password_is_stored_differently_each_time() -> None:
    assert StoredPassword.of(b"x", CHEAP) != StoredPassword.of(b"x", CHEAP)


def test_the_stored_form_says_how_it_was_made() -> None:
    text = str(StoredPassword.of(b"secret"))
    assert text.startswith("$scrypt$ln=14,r=8,p=1$")
    assert "secret" not in text
    stored = StoredPassword.parse(text)
    assert (stored.cost, len(stored.salt), len(stored.digest)) == (COST, 16, 32)
    assert stored.digest == hashlib.scrypt(b"secret", salt=stored.salt, n=2**14, r=8, p=1, dklen=32)


def test_neither_salt_nor_hash_is_in_a_log() -> None:
    assert repr(StoredPassword.of(b"x", CHEAP)) == "StoredPassword(...)"


SALT, HASH = "A" * 22, "A" * 43


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        f"$scrypt$ln=14,r=8,p=1${SALT}",
        f"$scrypt$ln=14,r=8,p=1${SALT}${HASH}\n",
        f"$argon2$ln=14,r=8,p=1${SALT}${HASH}",
        f"$scrypt$ln=14,r=8,p=1${SALT}${'A' * 45}",  # no base64 has this length
        f"$scrypt$ln=30,r=8,p=1${SALT}${HASH}",  # 1 TiB
        f"$scrypt$ln=14,r=99,p=1${SALT}${HASH}",
        f"$scrypt$ln=14,r=8,p=9${SALT}${HASH}",
        f"$scrypt$ln=0,r=8,p=1${SALT}${HASH}",
    ],
)
def test_what_is_no_stored_password_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="password hash"):
        StoredPassword.parse(text)


def test_the_most_expensive_hash_that_is_accepted_can_be_checked() -> None:
    stored = StoredPassword.parse(f"$scrypt$ln=15,r=8,p=4${SALT}${HASH}")
    assert not stored.accepts(b"x")
