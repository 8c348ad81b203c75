"""The buffer of a live client is bounded and keeps its order."""

import asyncio
import time
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.gateway.live import client as live_client
from backend_demo.gateway.live.client import TOO_SLOW, Client
from backend_demo.gateway.live.event import SERVER_SENT, Wanted

BOUND = 40


def client(bound: int = BOUND) -> Client:
    return Client(SERVER_SENT, Wanted(frozenset(), frozenset()), bound_bytes=bound)


async def all_of(one: Client) -> list[bytes]:
    """Everything the client takes until it is ended."""
    return [piece async for piece in _pieces(one)]


async def _pieces(one: Client):  # type: ignore[no-untyped-def]
    while (piece := await one.take(5)) is not None:
        yield piece


@given(st.lists(st.lists(st.binary(min_size=1, max_size=30), max_size=5), max_size=8))
def test_it_gets_everything_in_order_or_is_ended(rounds: Sequence[Sequence[bytes]]) -> None:
    async def run() -> None:
        one, taken, waits = client(), b"", 0
        for pieces in rounds:
            for piece in pieces:
                waits += len(piece)
                one.put(piece)
                if waits > BOUND:
                    assert one.ended.is_set()
                    assert one.reason == TOO_SLOW
                    assert await all_of(one) == [last_words(one)]
                    one.put(b"more")
                    assert await one.take(5) is None
                    return
            assert not one.ended.is_set()
            if waits:
                taken += await one.take(5) or b""
                waits = 0
        assert taken == b"".join(piece for pieces in rounds for piece in pieces)

    asyncio.run(run())


def last_words(one: Client) -> bytes:
    detail = f"more than {BOUND} bytes waited; reconnect with the last id to lose nothing"
    return SERVER_SENT.notice(one.reason, detail)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=5), st.booleans(), st.booleans()), max_size=8))
def test_what_is_sent_at_once_does_not_overtake(puts: Sequence[tuple[bytes, bool, bool]]) -> None:
    """`puts`: a piece, whether the connection takes it, and whether the client's task runs afterwards."""

    async def run() -> None:
        one, sent, takes = client(1000), bytearray(), False

        def send_now(piece: bytes) -> bool:
            if takes:
                sent.extend(piece)
            return takes

        async def write() -> None:
            async for piece in _pieces(one):
                sent.extend(piece)

        one.send_now = send_now
        writing = asyncio.create_task(write())
        for piece, takes, runs in puts:  # noqa: B007 - send_now reads it
            one.put(piece)
            if runs:
                await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)
        assert bytes(sent) == b"".join(piece for piece, _, _ in puts)
        writing.cancel()

    asyncio.run(run())


def test_sending_at_once_counts_as_activity() -> None:
    async def run() -> None:
        one = client()
        one.send_now = lambda piece: True
        sent_at = time.monotonic()
        taking = asyncio.create_task(one.take(0.2))
        for _ in range(6):
            await asyncio.sleep(0.05)
            if not taking.done():  # on a machine that stood still
                one.put(b"now")
                sent_at = time.monotonic()
        assert await taking == b""
        assert time.monotonic() - sent_at > 0.19

    asyncio.run(run())


def test_silence_gives_an_empty_piece() -> None:
    assert asyncio.run(client().take(0.001)) == b""


def test_pieces_have_a_maximum_size() -> None:
    async def run() -> None:
        one = client(10 * live_client.PIECE_BYTES)
        part = b"x" * (live_client.PIECE_BYTES // 2)
        for _ in range(5):
            one.put(part)
        assert [len(await one.take(5) or b"") for _ in range(3)] == [2 * len(part), 2 * len(part), len(part)]

    asyncio.run(run())


def test_the_last_notice_is_sent_once() -> None:
    async def run() -> None:
        one = client()
        one.put(b"waits")
        one.end("ending", "the gateway ends")
        one.end("too_slow", "never heard")
        assert await all_of(one) == [SERVER_SENT.notice("ending", "the gateway ends")]

    asyncio.run(run())
