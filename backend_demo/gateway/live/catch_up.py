"""What a returning client has missed: from memory if it was away for a moment, else from Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable

from backend_demo.adapters.kafka import Brokers
from backend_demo.errors import ServiceFailed
from backend_demo.gateway.live.client import KEEP_ALIVE_S, Client
from backend_demo.gateway.live.feed import Feed
from backend_demo.gateway.live.position import StreamPosition
from backend_demo.gateway.live.recent import batch_after
from backend_demo.operations.kafka_log import KafkaLog

#: Clients that read from Kafka at once; the others wait for their turn.
CATCHING_UP = 4
#: Events in one piece.
PIECE_EVENTS = 500
#: How long Kafka may be silent before a client that catches up connects again, seconds.
PATIENCE_S = 5.0
RETRY_S = 1.0


class CatchUp:
    """Gives returning clients what they missed, and then lets them join the live ones."""

    def __init__(self, brokers: Brokers, feed: Feed, reading: asyncio.Event, join: Callable[[Client], None]) -> None:
        """`reading` is set while the feed is kept up to date. `join` makes a client one that gets what comes live."""
        self._brokers = brokers
        self._feed = feed
        self._reading = reading
        self._join = join
        self._turns = asyncio.Semaphore(CATCHING_UP)

    async def missed(self, client: Client, position: StreamPosition) -> AsyncGenerator[bytes, None]:
        """What came since the position; then the client has joined, without a gap and without a repeat."""
        while not client.ended.is_set():
            if self._reading.is_set() and self._feed.recent.reaches(position):
                events = self._feed.recent.after(position)
                self._join(client)  # nothing was awaited since: what comes from here on waits in its buffer
                for begin in range(0, len(events), PIECE_EVENTS):
                    batch = batch_after(position, events[begin : begin + PIECE_EVENTS])
                    yield batch.bytes_for(client.wire, client.wanted)
                return
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await self._turns.acquire()
            except TimeoutError:
                yield client.wire.keep_alive(None)
                continue
            try:
                async with contextlib.aclosing(self._read(client, position)) as pieces:
                    async for piece in pieces:
                        yield piece
            except ServiceFailed:
                yield client.wire.keep_alive(None)
                await asyncio.sleep(RETRY_S)
            finally:
                self._turns.release()

    async def _read(self, client: Client, position: StreamPosition) -> AsyncGenerator[bytes, None]:
        """Reads from the position on, which moves, until the recent events reach back to it. Raises ServiceFailed."""
        wire, feed, partitions = client.wire, self._feed, self._feed.partitions
        async with KafkaLog(self._brokers, partitions, patience_s=PATIENCE_S, notify=lambda _: None) as kafka:
            oldest = await kafka.starts(0)
            if lost := position.behind([oldest[partition] for partition in partitions]):
                yield wire.notice("gap", f"Kafka does not keep {lost} records any more that came after the last id")
                for index, here in enumerate(position.offsets):
                    position.move(index, max(here, oldest[partitions[index]]))
            sent_at = time.monotonic()
            while not feed.recent.reaches(position):
                async with contextlib.aclosing(
                    kafka.read(feed.offsets(position), feed.offsets(feed.position))
                ) as missed:
                    async for found in missed:
                        piece = batch_after(position, feed.events(found)).bytes_for(wire, client.wanted)
                        for index, partition in enumerate(partitions):
                            position.move(index, kafka.positions[partition])
                        if not piece and time.monotonic() - sent_at > KEEP_ALIVE_S:
                            piece = wire.keep_alive(position.id())
                        if piece:
                            yield piece
                            sent_at = time.monotonic()
                        if client.ended.is_set():
                            return
