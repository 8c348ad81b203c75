"""A compressed body gives its content in small pieces; what is not compressed as it says is refused."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator

import pytest

from backend_demo.gateway.ingest.coding import CODINGS, PIECE_BYTES, CodingInvalid

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CONTENT = b"".join(b'{"sensor":%d}\n' % number for number in range(20_000))
COMPRESS = {"gzip": gzip.compress, "zstd": zstd.compress, "identity": bytes}
ONE_BY_ONE = [1, 100, 1_000_000]


def pieces(coding: str, body: bytes, step: int) -> Iterator[bytes]:
    decompressor = CODINGS[coding]()
    for begin in range(0, len(body), step):
        yield from decompressor.feed(body[begin : begin + step])
    decompressor.end()


@pytest.mark.parametrize("coding", COMPRESS)
@pytest.mark.parametrize("step", ONE_BY_ONE)
def test_the_content_in_small_pieces(coding: str, step: int) -> None:
    found = list(pieces(coding, COMPRESS[coding](CONTENT), step))
    assert b"".join(found) == CONTENT
    assert max(map(len, found)) <= PIECE_BYTES


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("step", ONE_BY_ONE)
def test_several_members_are_one_content(coding: str, step: int) -> None:
    body = b"".join(COMPRESS[coding](part) for part in (b"a", b"", CONTENT, b"z"))
    assert b"".join(pieces(coding, body, step)) == b"a" + CONTENT + b"z"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("step", ONE_BY_ONE)
def test_what_is_cut_or_not_compressed_is_refused(coding: str, step: int) -> None:
    whole = COMPRESS[coding](CONTENT)
    for body in (b"", whole[:-1], whole[: len(whole) // 2], CONTENT[:100], whole + b"more of it"):
        with pytest.raises(CodingInvalid):
            list(pieces(coding, body, step))


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_bomb_is_unpacked_no_further_than_asked(coding: str) -> None:
    found = CODINGS[coding]().feed(COMPRESS[coding](bytes(50_000_000)))
    assert sum(len(next(found)) for _ in range(4)) <= 4 * PIECE_BYTES


def test_a_window_that_would_need_much_memory_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(CONTENT) + compressor.flush()
    with pytest.raises(CodingInvalid):
        list(pieces("zstd", body, 1000))
