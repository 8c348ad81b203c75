"""Answers are compressed as `Accept-Encoding` prefers, whole or piece by piece."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from backend_demo.gateway.edge.compression import LARGE_BYTES, MINIMUM_BYTES, Accepted, Compressed, accepted


@pytest.mark.parametrize(
    ("header", "coding", "must"),
    [
        ("", None, False),
        ("gzip", "gzip", False),
        ("X-GZIP", "gzip", False),
        ("gzip, deflate, br, zstd", "zstd", False),
        ("zstd;q=0.5, gzip;q=0.8", "gzip", False),
        ("zstd;q=0, gzip;q=0", None, False),
        ("zstd;q=0, *", "gzip", False),
        ("*", "zstd", False),
        ("*;q=0", None, False),
        ("gzip;q=0.5, identity", None, False),
        ("gzip, identity;q=0.5", "gzip", False),
        ("gzip, identity;q=0", "gzip", True),
        ("gzip, *;q=0", "gzip", True),
        ("gzip;q=many", None, False),
        ("br", None, False),
        (",;,gzip;;q=0.1", "gzip", False),
    ],
)
def test_preferred_coding(header: str, coding: Any, must: bool) -> None:
    assert accepted(header) == Accepted(coding, must)


@given(st.text())
def test_any_header_gets_an_answer(header: str) -> None:
    assert accepted(header).coding in ("zstd", "gzip", None)


def answered(
    pieces: list[bytes], accept_encoding: str = "", status: int = 200, method: str = "GET", **headers: str
) -> tuple[dict[str, str], list[bytes]]:
    """The head and the pieces of an application's answer, as a client gets them."""
    head = {"content_type": "application/json", **headers}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in head.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        for i, piece in enumerate(pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": i < len(pieces) - 1})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is asked of the client")

    scope = {"type": "http", "method": method, "headers": [(b"accept-encoding", accept_encoding.encode())]}
    asyncio.run(Compressed(app)(scope, receive, send))
    start, *bodies = sent
    assert [body["more_body"] for body in bodies] == [True] * (len(bodies) - 1) + [False]
    return {name.decode(): value.decode() for name, value in start["headers"]}, [body["body"] for body in bodies]


def decoded(coding: str | None, data: bytes) -> bytes:
    if coding == "gzip":
        return gzip.decompress(data)
    return zstd.decompress(data) if coding == "zstd" else data


@given(
    st.lists(st.binary(max_size=100) | st.integers(0, 3 * LARGE_BYTES).map(lambda n: b"12345," * (n // 6)), min_size=1),
    st.sampled_from(["gzip", "zstd", "gzip;q=0.1, zstd", ""]),
)
def test_it_is_the_same_text(pieces: list[bytes], accept_encoding: str) -> None:
    head, bodies = answered(pieces, accept_encoding)
    assert decoded(head.get("content-encoding"), b"".join(bodies)) == b"".join(pieces)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_piece_does_not_wait_for_the_next(coding: str) -> None:
    """A line of a trace arrives as soon as it is sent."""
    _, bodies = answered([b'{"hop":1}\n', b'{"hop":2}\n'], coding, content_type="application/x-ndjson")
    if coding == "gzip":
        import zlib

        assert zlib.decompressobj(wbits=31).decompress(bodies[0]) == b'{"hop":1}\n'
    else:
        assert zstd.ZstdDecompressor().decompress(bodies[0]) == b'{"hop":1}\n'


def test_caches_are_told_and_the_length_is_left_out() -> None:
    text = b"x" * MINIMUM_BYTES
    head, _ = answered([text], "zstd", content_length=str(len(text)), vary="Accept", etag='"strong"')
    assert head["vary"] == "Accept, Accept-Encoding"
    assert "content-length" not in head
    assert head["etag"] == 'W/"strong"'
    head, bodies = answered([text], "", content_length=str(len(text)), vary="Accept", etag='"strong"')
    assert (head["vary"], head["content-length"], head["etag"]) == (
        "Accept, Accept-Encoding",
        str(len(text)),
        '"strong"',
    )
    assert bodies == [text]


@pytest.mark.parametrize("must", [False, True])
def test_a_short_answer_is_compressed_only_if_it_must_be(must: bool) -> None:
    head, _ = answered([b"x" * (MINIMUM_BYTES - 1)], "gzip" + ", identity;q=0" * must)
    assert ("content-encoding" in head) == must


@pytest.mark.parametrize(
    "media_type",
    ["text/event-stream", "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream", "image/png"],
)
def test_binary_formats_and_event_streams_are_not_compressed(media_type: str) -> None:
    head, bodies = answered([b"x" * 5000, b""], "gzip", content_type=media_type)
    assert head == {"content-type": media_type}
    assert bodies == [b"x" * 5000, b""]


@pytest.mark.parametrize(("status", "method"), [(304, "GET"), (206, "GET"), (200, "HEAD")])
def test_partial_and_empty_answers_are_not_compressed(status: int, method: str) -> None:
    head, _ = answered([b""], "gzip", status, method)
    assert "content-encoding" not in head


def test_a_compressed_answer_is_not_compressed_again() -> None:
    head, _ = answered([b"x" * 5000], "gzip", content_encoding="br")
    assert head["content-encoding"] == "br"


def test_not_modified_varies_as_the_answer_would() -> None:
    assert answered([b""], "gzip", 304, etag='W/"1"')[0]["vary"] == "Accept-Encoding"
