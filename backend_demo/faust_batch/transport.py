"""A Faust transport in which all that one poll returned, over all partitions, is one unit of work: a `Batch`.

Faust's own transport hands over one message at a time, at about 240 us each. Here an agent gets whole batches:

    app = faust.App("my-app", broker="kafka://127.0.0.1:9092", stream_wait_empty=False)
    app.transport = Transport([URL("kafka://127.0.0.1:9092")], app)

    @app.agent(app.topic("events", schema=BatchSchema()))
    async def handle(stream):
        async for batch in batches(stream):
            ...            # batch.records: records by partition
            batch.ack()    # last: a crash above repeats the batch, never loses it

An agent must have a concurrency of 1, and its application no tables.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from aiokafka import TopicPartition
from faust.tables.recovery import Recovery
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from backend_demo.faust_batch import private
from backend_demo.faust_batch.batch import Batch, PartitionListener, Record
from backend_demo.faust_batch.fetch import PARTITION_RECORDS, take_whole_batches
from backend_demo.faust_batch.offsets import OffsetTracker

log = structlog.get_logger(__name__)

#: Batches that are fetched and not yet handled: one in work, one ready behind it.
IN_FLIGHT = 2

#: A batch that holds so many records need not wait for more of a partition with a backlog.
ENOUGH_RECORDS = 4 * PARTITION_RECORDS

#: Above this many records a second a paced consumer lets the broker collect records before it answers: so many bytes,
#: for so many milliseconds at most. Many tiny fetches cost broker and consumers more than the records in them.
PACED_RATE = 400
PACED_FETCH = (256 * 1024, 5)
PROMPT_FETCH = (1, 500)


class InLoop(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer thread without the thread: aiokafka runs in the application's own event loop.

    A hand-over between threads costs up to a switch interval (5 ms) of Python's lock, each way, for every poll.
    """

    logger = driver.logger

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, thread_loop=asyncio.get_event_loop(), **options)

    async def on_start(self) -> None:
        await super().on_start()
        take_whole_batches(self._consumer._fetcher)

    async def start(self) -> None:
        self._thread_started.set()
        await self._default_start()

    async def stop(self) -> None:
        if not self._stopped.is_set():
            self._stopped.set()
            await self.on_thread_stop()
            await self._default_stop_futures()
            self._shutdown.set()

    async def call_thread(self, fun: Any, *args: Any, **options: Any) -> Any:
        result = fun(*args, **options)
        return await result if inspect.isawaitable(result) else result


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, but for three things: what it delivers, what it commits, and who is asked at a rebalance."""

    logger = driver.logger

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.offsets: OffsetTracker[TP] = OffsetTracker()
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._idle = asyncio.Event()
        self._idle.set()
        self._seen, self._seen_since = 0, time.monotonic()
        """Records since then: what pacing goes by."""
        self._positioned_in = -1
        """The epoch whose start positions were taken."""

    def _new_consumer_thread(self) -> InLoop:
        return InLoop(self, loop=self.loop, beacon=self.beacon)

    # -- delivery

    async def _drain_messages(self, fetcher: Any) -> None:
        """Faust's fetch loop: one message a poll, on one carrier partition."""
        while not (self.should_stop or fetcher.should_stop):
            room = self._room
            await room.acquire()
            delivered = False
            try:
                records = await self._poll()
                if self.transport.paced:
                    self._pace(sum(map(len, records.values())))
                if records and self.flow_active:
                    await self.callback(self._message(records))
                    delivered = True
                elif records:
                    self._put_back(records)
            finally:
                if not delivered:
                    room.release()

    async def _poll(self) -> dict[Any, list[Record]]:
        """What was fetched, evenly of all partitions; where few have a backlog, more of these."""
        records, _ = await self._wait_next_records(timeout=1.0)
        sizes = [len(found) for found in (records or {}).values()]
        while sizes and max(sizes) >= PARTITION_RECORDS and sum(sizes) < ENOUGH_RECORDS:
            more, _ = await self._wait_next_records(timeout=0.0)
            if not more:
                break
            for tp, found in more.items():
                records.setdefault(tp, []).extend(found)
            sizes = [len(found) for found in records.values()]
        return records or {}

    def _message(self, records: Mapping[Any, Sequence[Record]]) -> ConsumerMessage:
        by_partition = {TP(tp.topic, tp.partition): found for tp, found in records.items()}
        ends = {tp: found[-1].offset + 1 for tp, found in by_partition.items()}
        batch = Batch(by_partition, self.offsets.deliver(ends), self)
        carrier = next(iter(by_partition))
        return ConsumerMessage(
            carrier.topic,
            carrier.partition,
            ends[carrier] - 1,
            0.0,
            0,
            None,
            None,
            batch,
            None,
            0,
            0,
            carrier,
            generation_id=self.app.consumer_generation_id,
        )

    def _pace(self, records: int) -> None:
        self._seen += records
        seconds = time.monotonic() - self._seen_since
        if seconds >= 0.25:
            fetcher = self._thread._consumer._fetcher
            busy = self._seen / seconds > PACED_RATE
            fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = PACED_FETCH if busy else PROMPT_FETCH
            self._seen, self._seen_since = 0, time.monotonic()

    @contextmanager
    def in_work(self) -> Iterator[None]:
        """While an agent handles a batch; afterwards there is room for one batch more."""
        room = self._room
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()
            room.release()

    def _put_back(self, records: Mapping[Any, Sequence[Record]]) -> None:
        """What arrives while partitions move, or at the end, is not delivered: it is to be fetched again."""
        for tp, found in records.items():
            self._thread.seek(tp, found[0].offset)

    def ack(self, message: Any) -> bool:
        """Faust acknowledges what it skips; only `Batch.ack` counts here."""
        return False

    # -- commits

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commits what is acknowledged. A failure is told, and the offsets are tried again at the next commit."""
        assignment = self.assignment()
        offsets = {tp: offset for tp, offset in self.offsets.committable().items() if tp in assignment}
        if not offsets:
            return False
        epoch = self.offsets.epoch
        done = bool(await self._commit(offsets))
        if not done:
            log.warning("commit failed", partitions=len(offsets))
        elif epoch == self.offsets.epoch:
            self.offsets.confirm(offsets)
        return done

    # -- rebalances

    async def settle(self, limit_s: float = 10.0) -> None:
        """Lets the batch in work end, lets the listener make durable what it holds, and commits."""
        self.stop_flow()
        self.app.flow_control.suspend()
        self.app.flow_control.clear()
        try:
            await asyncio.wait_for(self._idle.wait(), limit_s)
        except TimeoutError:
            log.warning("batch still in work", limit_s=limit_s)
        if self.transport.listener is not None:
            await self.transport.listener.revoked(frozenset(self.assignment()))
        await self.maybe_wait_for_commit_to_finish()  # what it commits is older
        await self.commit()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Before the partitions go: nothing half done, everything that is done committed."""
        if self.assignment():
            await self.settle()
        self._begin_epoch()
        await super().on_partitions_revoked(revoked)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Start positions: the committed offsets, and above them what the listener says."""
        self._begin_epoch()
        epoch = self.offsets.epoch
        starts = dict(await super().seek_to_committed())
        listener = self.transport.listener
        if listener is not None:
            assignment = self.assignment()
            begins, ends = await self.earliest_offsets(*assignment), await self.highwaters(*assignment)
            wanted = await listener.assigned({tp: (begins[tp], ends[tp]) for tp in assignment})
            await self.seek_wait(wanted)
            starts.update(wanted)
        self._positioned_in = epoch
        return starts

    def resume_flow(self) -> None:
        """Not when partitions have begun to move again since their start positions were taken: more will be said."""
        if self._positioned_in == self.offsets.epoch or not self.assignment():
            super().resume_flow()

    def _begin_epoch(self) -> None:
        self.offsets.reset()
        left, self._room = self._room, asyncio.Semaphore(IN_FLIGHT)
        left.release()  # the batches that nobody will handle leave no room for the fetch loop, which may wait for it

    # -- what a service wants to know

    def ends(self) -> dict[TP, tuple[int, int]]:
        """What is fetched next of each partition, and where its log ends, as its broker said with its last answer."""
        consumer = self._thread._consumer
        if consumer is None:
            return {}
        found = {}
        for tp in consumer.assignment():
            state = consumer._subscription.subscription.assignment.state_value(TopicPartition(*tp))
            if state is not None and state.has_valid_position and consumer.highwater(tp) is not None:
                found[TP(tp.topic, tp.partition)] = state.position, consumer.highwater(tp)
        return found


class PatientRecovery(Recovery):  # type: ignore[misc]
    """Waits for start positions for as long as they take: Faust's own gives up after a request's timeout, for good."""

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        await super()._wait(coro)


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with batches.

    `listener`: is told when partitions come and go. `paced`: where records come one by one and fast, their broker
    collects them for some milliseconds; the consumers behind this one are paced by what it sends.
    """

    Consumer = Consumer

    def __init__(
        self, *args: Any, listener: PartitionListener | None = None, paced: bool = False, **options: Any
    ) -> None:
        private.check()
        super().__init__(*args, **options)
        self.listener = listener
        self.paced = paced
        tables = self.app.tables
        tables._recovery = PatientRecovery(self.app, tables, beacon=tables.beacon, loop=tables.loop)
