"""What waits for a client of the live streams is bounded, and comes in its order."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.gateway import live_client
from backend_demo.gateway.live_client import TOO_SLOW, Client
from backend_demo.gateway.live_event import SERVER_SENT, Wanted

BOUND = 100


def client(bound: int = BOUND) -> Client:
    return Client(SERVER_SENT, Wanted(frozenset(), frozenset()), bound_bytes=bound)


async def all_of(one: Client) -> list[bytes]:
    """What it takes until it is ended."""
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
    detail = f"more than {BOUND} bytes waited; come back with the last id, and nothing is lost"
    return SERVER_SENT.notice(one.reason, detail)


def test_it_is_told_that_nothing_came() -> None:
    assert asyncio.run(client().take(0.001)) == b""


def test_its_pieces_have_a_size() -> None:
    async def run() -> None:
        one = client(10 * live_client.PIECE_BYTES)
        part = b"x" * (live_client.PIECE_BYTES // 2)
        for _ in range(5):
            one.put(part)
        assert [len(await one.take(5) or b"") for _ in range(3)] == [2 * len(part), 2 * len(part), len(part)]

    asyncio.run(run())


def test_an_end_says_why_once() -> None:
    async def run() -> None:
        one = client()
        one.put(b"waits")
        one.end("ending", "the gateway ends")
        one.end("too_slow", "never heard")
        assert await all_of(one) == [SERVER_SENT.notice("ending", "the gateway ends")]

    asyncio.run(run())
