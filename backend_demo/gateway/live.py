"""The live streams: one reader of Kafka for all clients of this process, which reads while there are any."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence

import structlog

from backend_demo import metrics
from backend_demo.errors import ServiceFailed
from backend_demo.gateway.live_client import ENDING, OTHER_LOG, TOO_SLOW, UNKNOWN_ID, Client
from backend_demo.gateway.live_event import TOPICS, Event, Form, Wanted, event
from backend_demo.gateway.live_place import Place
from backend_demo.gateway.live_recent import Recent, batch_after
from backend_demo.operations.kafka_log import AWAY, BACK, KafkaLog, cluster_of
from backend_demo.operations.tail_merge import Partition, Record

#: What comes within this time is sent to a client at once.
GATHER_S = 0.025
#: In which Kafka answers when it has records.
FETCH_S = 0.01
#: The reader goes on for so long after its last client: it may come back.
LINGER_S = 20.0
#: A client that hears nothing for so long gets a sign of life.
KEEP_ALIVE_S = 10.0
#: How long a new stream waits for Kafka to answer, before it begins with the notice that Kafka is away; and how long it
#: waits for one that does answer until the reader has begun.
OPENING_S, BEGINNING_S = 2.0, 10.0
RETRY_S = 1.0
#: In which streams end with a last notice when the gateway ends.
CLOSING_S = 0.5
#: A client for which more than this waits is dropped: some ten seconds of 2,000 events each.
BUFFER_BYTES = 4 * 1024 * 1024

#: The newest events, for clients that come back; also those from before the reader began, so many of a partition.
RECENT_EVENTS, RECENT_BYTES, RECENT_RECORDS = 10_000, 4 * 1024 * 1024, 400
#: Clients that read by themselves what they missed, at a time; the others wait for their turn.
CATCHING_UP = 4
#: Events that are given to clients at once; between two such pieces they can take the first.
PIECE_EVENTS = 500
PIECE_S = 0.005
#: How long Kafka may be silent to one that catches up, until it tries again.
PATIENCE_S = 5.0

log = structlog.get_logger()


class TooManyClients(Exception):
    """There are as many live streams as there may be."""


class Live:
    """Gives each event to every client that wants it, in the order of each partition, without waiting for any."""

    def __init__(self, bootstrap: str, *, clients_max: int) -> None:
        self._bootstrap = bootstrap
        self._clients_max = clients_max
        self._open: set[Client] = set()
        self._live: set[Client] = set()
        """Those that have caught up."""
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._wanted = asyncio.Event()
        self._answered, self._reading = asyncio.Event(), asyncio.Event()
        """Kafka has answered the reader; it has begun."""
        self._away = False
        self._log_name = ""
        self._partitions: list[Partition] = []
        self._index: dict[Partition, int] = {}
        self._place = Place("", ())
        self._recent = Recent((), count=0, bound_bytes=0)
        self._turns = asyncio.Semaphore(CATCHING_UP)

    # -- the reader

    async def run(self) -> None:
        """Reads while there are clients, for ever."""
        while True:
            await self._wanted.wait()
            try:
                await self._read()
            except ServiceFailed as problem:
                self._hear(AWAY, problem.message)
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        """Reads until nobody has wanted it for a while. Raises ServiceFailed."""
        cluster, known = await cluster_of(self._bootstrap)
        for topic in TOPICS.values():
            if topic not in known:
                raise ServiceFailed(f"Kafka has no topic {topic}", hint="run: bdemo migrate")
        partitions = [partition for topic in TOPICS.values() for partition in known[topic]]
        name = repr((cluster, [tuple(partition) for partition in partitions]))
        if self._log_name not in ("", name):
            self._end_all(OTHER_LOG, "Kafka's log is another one than before; begin without an id")
        self._answered.set()
        try:
            async with KafkaLog(self._bootstrap, partitions, patience_s=None, notify=self._hear) as kafka:
                await self._begin(kafka, name, partitions)
                self._reading.set()
                self._hear(BACK)
                await self._go_on(kafka)
        finally:
            self._answered.clear()
            self._reading.clear()

    async def _begin(self, kafka: KafkaLog, name: str, partitions: Sequence[Partition]) -> None:
        """Goes to the end of the log: from where it was, for its clients, or else past the newest records, for none."""
        ends = await kafka.ends()
        going_on = bool(self._live) and self._log_name == name
        if not going_on:
            oldest = await kafka.starts(0)
            starts = [max(oldest[partition], ends[partition] - RECENT_RECORDS) for partition in partitions]
            self._log_name, self._partitions = name, list(partitions)
            self._index = {partition: index for index, partition in enumerate(partitions)}
            self._place = Place(name, starts)
            self._recent = Recent(starts, count=RECENT_EVENTS, bound_bytes=RECENT_BYTES)
        async for found in kafka.read(self._offsets_of(self._place), ends):
            await self._tell(found, kafka.positions, self._live if going_on else ())
        kafka.seek(ends)

    async def _go_on(self, kafka: KafkaLog) -> None:
        wanted_at = time.monotonic()
        while True:
            found = await kafka.poll()
            if found:
                await asyncio.sleep(GATHER_S)
                for partition, records in (await kafka.poll(wait_s=FETCH_S)).items():
                    found.setdefault(partition, []).extend(records)
                await self._tell(found, kafka.positions, self._live)
            if self._open:
                wanted_at = time.monotonic()
            elif time.monotonic() - wanted_at > LINGER_S:
                self._wanted.clear()
                self._log_name = ""  # the next one begins with what comes then
                return

    async def _tell(
        self,
        found: Mapping[Partition, Sequence[Record]],
        positions: Mapping[Partition, int],
        clients: Collection[Client],
    ) -> None:
        """Gives the next events to the clients, and goes on to these positions."""
        events = self._events(found)
        for begin in range(0, len(events), PIECE_EVENTS):
            if begin:
                await asyncio.sleep(PIECE_S)
            some = events[begin : begin + PIECE_EVENTS]
            self._recent.add(some)
            batch = batch_after(self._place, some)
            for client in clients:
                if piece := batch.bytes_for(client.form, client.wanted):
                    client.put(piece)
        for index, partition in enumerate(self._partitions):
            self._place.move(index, positions[partition])

    def _events(self, found: Mapping[Partition, Sequence[Record]]) -> list[Event]:
        made = (event(record, self._index[partition]) for partition, records in found.items() for record in records)
        return [each for each in made if each is not None]

    def _offsets_of(self, place: Place) -> dict[Partition, int]:
        return dict(zip(self._partitions, place.offsets, strict=True))

    def _hear(self, told: str, detail: str = "") -> None:
        """Passes on that Kafka is away or back, once."""
        away = told == AWAY
        if away == self._away:
            return
        self._away = away
        if away:
            log.warning("live streams wait for Kafka", detail=detail)
        else:
            log.info("live streams go on")
        for client in self._open:
            client.put(self._of_kafka(client.form))

    def _of_kafka(self, form: Form) -> bytes:
        if self._away:
            return form.notice("kafka_away", "the stream waits for Kafka, and goes on where it was")
        return form.notice("kafka_back", "the stream goes on")

    # -- its clients

    @contextlib.contextmanager
    def client(self, form: Form, wanted: Wanted, *, live: bool) -> Iterator[Client]:
        """A client, as long as its stream is open; `live`: it has missed nothing. Raises TooManyClients."""
        if len(self._open) >= self._clients_max:
            raise TooManyClients
        one = Client(form, wanted, bound_bytes=BUFFER_BYTES)
        self._open.add(one)
        self._nobody.clear()
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
                self._nobody.set()
            if one.reason == TOO_SLOW:
                metrics.streams_dropped.inc()

    async def close(self) -> None:
        """Ends all streams, for good; returns when they have said so, or have had the time to."""
        self._clients_max = 0
        self._end_all(ENDING, "the gateway ends; come back with the last id")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await self._nobody.wait()

    def _end_all(self, code: str, detail: str) -> None:
        for client in self._open:
            client.end(code, detail)
        self._live.clear()

    async def opening(self, last_id: str | None) -> Place | None:
        """Where a stream with this id begins; None: with what comes, or it is told once Kafka is there.

        Raises ValueError when the id is none of this log.
        """
        self._wanted.set()
        try:
            async with asyncio.timeout(OPENING_S):
                await self._answered.wait()
            async with asyncio.timeout(BEGINNING_S):
                await self._reading.wait()
        except TimeoutError:
            # what comes before the reader begins is not told: the client learns when that is
            self._hear(AWAY, "it does not answer")
            return None
        if last_id is None:
            return None
        place = Place.read(self._log_name, len(self._partitions), last_id)
        for _ in range(round(OPENING_S / GATHER_S)):
            if not place.ahead(self._place.offsets):
                return place
            await asyncio.sleep(GATHER_S)  # another gateway may have read a moment further
        raise ValueError("is of a log that was longer than this one")

    async def pieces(self, client: Client, last_id: str | None, place: Place | None) -> AsyncGenerator[bytes, None]:
        """All that the client gets, until it is ended; `place`: as `opening` told it. A piece may be empty."""
        form = client.form
        if self._away:
            yield self._of_kafka(form)
        while last_id is not None and place is None and not client.ended.is_set():
            yield form.keep_alive(None)
            try:
                place = await self.opening(last_id)
            except ValueError as problem:
                client.end(UNKNOWN_ID, f"the last id {problem}")
        if place is not None:
            async with contextlib.aclosing(self._missed(client, place)) as missed:
                async for piece in missed:
                    yield piece
        told_at = self._place.id()
        while (waiting := await client.take(KEEP_ALIVE_S)) is not None:
            if waiting:
                yield waiting
            else:
                at = self._place.id()
                yield form.keep_alive(None if at == told_at else at)
                told_at = at

    async def _missed(self, client: Client, place: Place) -> AsyncGenerator[bytes, None]:
        """What came since the place; then the client is a live one, without a gap and without a repeat."""
        while not client.ended.is_set():
            if self._reading.is_set() and self._recent.reaches(place):
                events = self._recent.after(place)
                self._live.add(client)  # nothing was awaited since: what comes from here on waits in its buffer
                for begin in range(0, len(events), PIECE_EVENTS):
                    yield batch_after(place, events[begin : begin + PIECE_EVENTS]).bytes_for(client.form, client.wanted)
                return
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await self._turns.acquire()
            except TimeoutError:
                yield client.form.keep_alive(None)
                continue
            try:
                async with contextlib.aclosing(self._read_missed(client, place)) as pieces:
                    async for piece in pieces:
                        yield piece
            except ServiceFailed:
                yield client.form.keep_alive(None)
                await asyncio.sleep(RETRY_S)
            finally:
                self._turns.release()

    async def _read_missed(self, client: Client, place: Place) -> AsyncGenerator[bytes, None]:
        """Reads from the place on, which moves, until the newest events reach back to it. Raises ServiceFailed."""
        form, partitions = client.form, self._partitions
        async with KafkaLog(self._bootstrap, partitions, patience_s=PATIENCE_S, notify=lambda _: None) as kafka:
            oldest = await kafka.starts(0)
            if lost := place.behind([oldest[partition] for partition in partitions]):
                yield form.notice("gap", f"Kafka does not keep {lost} records any more that came after the last id")
                for index, here in enumerate(place.offsets):
                    place.move(index, max(here, oldest[partitions[index]]))
            told_at = time.monotonic()
            while not self._recent.reaches(place):
                missed = kafka.read(self._offsets_of(place), self._offsets_of(self._place))
                async with contextlib.aclosing(missed):
                    async for found in missed:
                        piece = batch_after(place, self._events(found)).bytes_for(form, client.wanted)
                        for index, partition in enumerate(partitions):
                            place.move(index, kafka.positions[partition])
                        if not piece and time.monotonic() - told_at > KEEP_ALIVE_S:
                            piece = form.keep_alive(place.id())
                        if piece:
                            yield piece
                            told_at = time.monotonic()
                        if client.ended.is_set():
                            return
