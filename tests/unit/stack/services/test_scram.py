"""The client's side of SCRAM against a server that is computed here; against Kafka's own: tests/kafka."""

import base64
import hashlib
import hmac

import pytest

from backend_demo.stack.services.scram import ITERATIONS, ScramKeys, log_in


def digest(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha512")


def exchange(password: str, keys: ScramKeys, *, nonce: bytes = b"", signature: bytes = b"") -> bool:
    """Lets a client log in; whether it proves that it knows the password. What the server says may be wrong."""
    client = log_in("me", password)
    header, _, first = next(client).partition(b"n=")
    assert header == b"n,,"
    user, _, its_nonce = first.partition(b",r=")
    assert user == b"me"
    challenge = b"r=%s,s=%s,i=%d" % (nonce or its_nonce + b"more", base64.b64encode(keys.salt), ITERATIONS)
    final = client.send(challenge)
    without_proof, _, proof = final.partition(b",p=")
    signed = b",".join((b"n=" + first, challenge, without_proof))
    client_key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), digest(keys.stored_key, signed), strict=True))
    with pytest.raises(StopIteration):
        client.send(b"v=" + base64.b64encode(signature or digest(keys.server_key, signed)))
    return hashlib.sha512(client_key).digest() == keys.stored_key


def test_it_proves_that_it_knows_the_password() -> None:
    keys = ScramKeys.of("right")
    assert exchange("right", keys)


def test_a_wrong_password_proves_nothing_and_is_not_sent() -> None:
    with pytest.raises(ValueError, match="does not know the user's password"):
        exchange("wrong", ScramKeys.of("right"))


def test_a_server_that_does_not_know_the_password_is_found_out() -> None:
    with pytest.raises(ValueError, match="does not know the user's password"):
        exchange("right", ScramKeys.of("right"), signature=b"x" * 64)


def test_an_answer_to_somebody_else_is_refused() -> None:
    with pytest.raises(ValueError, match="answers another client"):
        exchange("right", ScramKeys.of("right"), nonce=b"other")


def test_every_user_has_a_salt_of_its_own() -> None:
    assert ScramKeys.of("same").salt != ScramKeys.of("same").salt
