"""The hub of the live streams: one Kafka reader for all clients of this process, running while there are any."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence

import structlog

from backend_demo import metrics
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.topics import Partition
from backend_demo.errors import ServiceFailed
from backend_demo.gateway.live.catch_up import PIECE_EVENTS, CatchUp
from backend_demo.gateway.live.client import ENDING, KEEP_ALIVE_S, OTHER_LOG, TOO_SLOW, UNKNOWN_ID, Client
from backend_demo.gateway.live.event import TOPICS, Wanted, WireFormat
from backend_demo.gateway.live.feed import RECENT_RECORDS, Feed
from backend_demo.gateway.live.position import StreamPosition
from backend_demo.operations.kafka_log import AWAY, BACK, KafkaLog, cluster_of
from backend_demo.operations.kafka_record import KafkaRecord

#: Records that arrive within this time are sent together, seconds.
GATHER_S = 0.025
#: Poll timeout while records are flowing, seconds.
FETCH_S = 0.01
#: Time for which the reader keeps running after its last client, which may come back, seconds.
LINGER_S = 20.0
#: Time for which a new stream waits for Kafka to answer before it begins with the notice `kafka_away`, and for which it
#: then waits for the reader to begin, seconds.
OPENING_S, BEGINNING_S = 2.0, 10.0
RETRY_S = 1.0
#: Time for streams to send their last notice when the gateway stops, seconds.
CLOSING_S = 0.5
#: Bound of a client's buffer; a client that exceeds it is dropped. About ten seconds at 2,000 events/s.
BUFFER_BYTES = 4 * 1024 * 1024

#: Pause between two pieces of events that arrived together, so that clients can take the first, seconds.
PIECE_S = 0.005

log = structlog.get_logger()


class TooManyClients(Exception):
    """The maximum number of live streams is open already."""


class Live:
    """Gives each event to every client that wants it, in the order of each partition, and never waits for a client."""

    def __init__(self, brokers: Brokers, *, clients_max: int) -> None:
        self._brokers = brokers
        self._clients_max = clients_max
        self._open: set[Client] = set()
        self._others = 0
        """Connections of other kinds, which count too."""
        self._live: set[Client] = set()
        """The clients that have caught up."""
        self._no_clients = asyncio.Event()
        self._no_clients.set()
        self._wanted = asyncio.Event()
        self._answered, self._reading = asyncio.Event(), asyncio.Event()
        """Set when Kafka has answered the reader, and when the reader has begun."""
        self._away = False
        self._feed = Feed()
        self._catch_up = CatchUp(brokers, self._feed, self._reading, self._live.add)

    # -- the reader

    async def run(self) -> None:
        """Reads whenever there are clients; never returns."""
        while True:
            await self._wanted.wait()
            try:
                await self._read()
            except ServiceFailed as problem:
                self._kafka_is(AWAY, problem.message)
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        """Reads until there has been no client for a while. Raises ServiceFailed."""
        cluster, known = await cluster_of(self._brokers)
        for topic in TOPICS.values():
            if topic not in known:
                raise ServiceFailed(f"Kafka has no topic {topic}", hint="run: bdemo migrate")
        partitions = [partition for topic in TOPICS.values() for partition in known[topic]]
        name = repr((cluster, [tuple(partition) for partition in partitions]))
        if self._feed.log_name not in ("", name):
            self._end_all(OTHER_LOG, "Kafka's log has been replaced; reconnect without an id")
        self._answered.set()
        try:
            async with KafkaLog(self._brokers, partitions, patience_s=None, notify=self._kafka_is) as kafka:
                await self._begin(kafka, name, partitions)
                self._reading.set()
                self._kafka_is(BACK)
                await self._follow(kafka)
        finally:
            self._answered.clear()
            self._reading.clear()

    async def _begin(self, kafka: KafkaLog, name: str, partitions: Sequence[Partition]) -> None:
        """Reads up to the end of the log: for the clients from where it stopped, else only the newest records."""
        ends = await kafka.ends()
        resuming = bool(self._live) and self._feed.log_name == name
        if not resuming:
            oldest = await kafka.starts(0)
            starts = {each: max(oldest[each], ends[each] - RECENT_RECORDS) for each in partitions}
            self._feed.begin(name, starts)
        async for found in kafka.read(self._feed.offsets(self._feed.position), ends):
            await self._distribute(found, kafka.positions, self._live if resuming else ())
        kafka.seek(ends)

    async def _follow(self, kafka: KafkaLog) -> None:
        wanted_at = time.monotonic()
        while True:
            found = await kafka.poll()
            if found:
                await asyncio.sleep(GATHER_S)
                for partition, records in (await kafka.poll(wait_s=FETCH_S)).items():
                    found.setdefault(partition, []).extend(records)
                await self._distribute(found, kafka.positions, self._live)
            if self._open:
                wanted_at = time.monotonic()
            elif time.monotonic() - wanted_at > LINGER_S:
                self._wanted.clear()
                self._feed.log_name = ""  # the next reader starts from scratch
                return

    async def _distribute(
        self,
        found: Mapping[Partition, Sequence[KafkaRecord]],
        positions: Mapping[Partition, int],
        clients: Collection[Client],
    ) -> None:
        """Gives the next events to these clients, and moves on to these positions."""
        events = self._feed.events(found)
        for begin in range(0, len(events), PIECE_EVENTS):
            if begin:
                await asyncio.sleep(PIECE_S)
            batch = self._feed.add(events[begin : begin + PIECE_EVENTS])
            for client in clients:
                if piece := batch.bytes_for(client.wire, client.wanted):
                    client.put(piece)
        self._feed.move(positions)

    def _kafka_is(self, state: str, detail: str = "") -> None:
        """Tells the clients and the log once when Kafka goes away or comes back."""
        away = state == AWAY
        if away == self._away:
            return
        self._away = away
        if away:
            log.warning("live streams wait for Kafka", detail=detail)
        else:
            log.info("live streams continue")
        for client in self._open:
            client.put(self._kafka_notice(client.wire))

    def _kafka_notice(self, wire: WireFormat) -> bytes:
        if self._away:
            return wire.notice("kafka_away", "Kafka is unavailable; the stream resumes where it stopped")
        return wire.notice("kafka_back", "the stream continues")

    # -- its clients

    @contextlib.contextmanager
    def client(self, wire: WireFormat, wanted: Wanted, *, live: bool) -> Iterator[Client]:
        """Registers a client while its stream is open; `live`: it has nothing to catch up on. Raises TooManyClients."""
        self._check_room()
        one = Client(wire, wanted, bound_bytes=BUFFER_BYTES)
        self._open.add(one)
        self._no_clients.clear()
        if live:
            self._live.add(one)
        self._wanted.set()
        try:
            with metrics.streams.track_inprogress():
                yield one
        finally:
            self._open.discard(one)
            self._live.discard(one)
            if not self._open:
                self._no_clients.set()
            if one.reason == TOO_SLOW:
                metrics.streams_dropped.inc()

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Counts a connection of another kind as one of the streams. Raises TooManyClients."""
        self._check_room()
        self._others += 1
        try:
            with metrics.streams.track_inprogress():
                yield
        finally:
            self._others -= 1

    def _check_room(self) -> None:
        if len(self._open) + self._others >= self._clients_max:
            raise TooManyClients

    async def close(self) -> None:
        """Ends all streams for good, and waits a moment for their last notices to be sent."""
        self._clients_max = 0
        self._end_all(ENDING, "the gateway is stopping; reconnect with the last id")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await self._no_clients.wait()

    def _end_all(self, code: str, detail: str) -> None:
        for client in self._open:
            client.end(code, detail)
        self._live.clear()

    async def opening(self, last_id: str | None) -> StreamPosition | None:
        """The position behind this id; None without an id, or while Kafka does not answer.

        Raises ValueError if the id does not belong to this log.
        """
        self._wanted.set()
        try:
            async with asyncio.timeout(OPENING_S):
                await self._answered.wait()
            async with asyncio.timeout(BEGINNING_S):
                await self._reading.wait()
        except TimeoutError:
            # the client misses what arrives before the reader begins: the notices tell it when that was
            self._kafka_is(AWAY, "it does not answer")
            return None
        if last_id is None:
            return None
        position = StreamPosition.read(self._feed.log_name, len(self._feed.partitions), last_id)
        for _ in range(round(OPENING_S / GATHER_S)):
            if not position.ahead(self._feed.position.offsets):
                return position
            await asyncio.sleep(GATHER_S)  # another gateway may be a moment ahead
        raise ValueError("is ahead of this log")

    async def pieces(
        self, client: Client, last_id: str | None, position: StreamPosition | None
    ) -> AsyncGenerator[bytes, None]:
        """Everything the client gets until it is ended; `position`: from `opening`. A piece may be empty."""
        wire = client.wire
        if self._away:
            yield self._kafka_notice(wire)
        while last_id is not None and position is None and not client.ended.is_set():
            yield wire.keep_alive(None)
            try:
                position = await self.opening(last_id)
            except ValueError as problem:
                client.end(UNKNOWN_ID, f"the last id {problem}")
        if position is not None:
            async with contextlib.aclosing(self._catch_up.missed(client, position)) as missed:
                async for piece in missed:
                    yield piece
        sent_id = self._feed.position.id()
        while (waiting := await client.take(KEEP_ALIVE_S)) is not None:
            if waiting:
                yield waiting
            else:
                at = self._feed.position.id()
                yield wire.keep_alive(None if at == sent_id else at)
                sent_id = at
