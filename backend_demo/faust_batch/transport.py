"""A Faust transport that delivers everything that one poll returns, over all partitions, as one `Batch`.

Faust's own transport delivers one message at a time, at about 240 us each. Here an agent gets whole batches:

    app = faust.App("my-app", broker="kafka://127.0.0.1:9092", stream_wait_empty=False)
    app.transport = Transport([URL("kafka://127.0.0.1:9092")], app)

    @app.agent(app.topic("events", schema=BatchSchema()))
    async def handle(stream):
        async for batch in batches(stream):
            ...            # batch.records: records by partition
            batch.ack()    # last: a crash above repeats the batch, never loses it

An agent must have a concurrency of 1, and its application must have no tables.
"""

from __future__ import annotations

import asyncio
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
from backend_demo.faust_batch.batch import Batch, PartitionListener
from backend_demo.faust_batch.fetch import PARTITION_RECORDS
from backend_demo.faust_batch.in_loop import InLoop
from backend_demo.faust_batch.offsets import OffsetTracker
from backend_demo.faust_batch.starts import log_range, starts
from backend_demo.faust_batch.topic_ids import topic_ids
from backend_demo.kafka_record import Record

log = structlog.get_logger(__name__)

#: Most batches fetched and not yet handled: one in work, one ready behind it.
IN_FLIGHT = 2

#: Records from which on a batch is not filled up further from a partition with a backlog.
ENOUGH_RECORDS = 4 * PARTITION_RECORDS

#: Above this many records per second, a paced consumer lets the broker collect records before it answers: up to a
#: number of bytes, for at most some milliseconds. Many tiny fetches cost broker and consumers more than their records.
PACED_RATE = 400
PACED_FETCH = (256 * 1024, 5)
PROMPT_FETCH = (1, 500)


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer with three changes: it delivers batches, commits what they acknowledge, and asks a listener."""

    logger = driver.logger

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.offsets: OffsetTracker[TP] = OffsetTracker()
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._idle = asyncio.Event()
        self._idle.set()
        self._seen, self._seen_since = 0, time.monotonic()
        """Records received since that time; pacing depends on their rate."""
        self._positioned_in = -1
        """The epoch for which start positions were set."""
        self.topic_ids: Mapping[str, str] = {}
        """Kafka's ids of the topics, as of the last assignment."""

    def _new_consumer_thread(self) -> InLoop:
        return InLoop(self, loop=self.loop, beacon=self.beacon)

    # -- delivery

    async def _drain_messages(self, fetcher: Any) -> None:
        """Replaces Faust's fetch loop: one message per poll, on one carrier partition."""
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
        """Returns what was fetched, evenly from all partitions; where only a few have a backlog, more from those."""
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
        """A context for the time in which an agent handles a batch; afterwards there is room for one more."""
        room = self._room
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()
            room.release()

    def _put_back(self, records: Mapping[Any, Sequence[Record]]) -> None:
        """Undoes a poll: records that arrive while partitions move, or at the end, are fetched again later."""
        for tp, found in records.items():
            self._thread.seek(tp, found[0].offset)

    def ack(self, message: Any) -> bool:
        """Ignores Faust, which acknowledges what it skips; only `Batch.ack` counts."""
        return False

    # -- commits

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commits what is acknowledged. A failure is logged, and the next commit tries the offsets again."""
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
        """Waits for the batch in work, lets the listener make its state durable, and commits."""
        self.stop_flow()
        self.app.flow_control.suspend()
        self.app.flow_control.clear()
        try:
            await asyncio.wait_for(self._idle.wait(), limit_s)
        except TimeoutError:
            log.warning("batch still in work", limit_s=limit_s)
        if self.transport.listener is not None:
            await self.transport.listener.revoked(frozenset(self.assignment()))
        await self.maybe_wait_for_commit_to_finish()  # a commit under way has older offsets
        await self.commit()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Called before the partitions go: finishes the batch in work and commits."""
        if self.assignment():
            await self.settle()
        self._begin_epoch()
        await super().on_partitions_revoked(revoked)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Sets the start positions: those of the listener, else the committed offsets.

        An offset that was committed for another topic of the same name, which was deleted, does not count.
        """
        self._begin_epoch()
        epoch = self.offsets.epoch
        consumer, assignment = self._thread._consumer, self.assignment()
        committed = await consumer._coordinator.fetch_committed_offsets([TopicPartition(*tp) for tp in assignment])
        begins, ends = await self.earliest_offsets(*assignment), await self.highwaters(*assignment)
        # last: records before these ends know no newer ones
        self.topic_ids = await topic_ids(consumer._client, {tp.topic for tp in assignment})
        logs = {
            tp: log_range(begins[tp], ends[tp], self.topic_ids.get(tp.topic, ""), committed.get(tp))
            for tp in assignment
        }
        wanted, again = starts(logs, committed)
        for topic in sorted({tp.topic for tp in again}):
            log.error("topic was deleted and created again: reading it from its beginning", topic=topic)
        listener = self.transport.listener
        if listener is not None:
            wanted.update(await listener.assigned(logs))
        await self.seek_wait(wanted)
        self._positioned_in = epoch
        return wanted

    def resume_flow(self) -> None:
        """Does nothing when partitions have begun to move again: their start positions will be set once more."""
        if self._positioned_in == self.offsets.epoch or not self.assignment():
            super().resume_flow()

    def _begin_epoch(self) -> None:
        self.offsets.reset()
        left, self._room = self._room, asyncio.Semaphore(IN_FLIGHT)
        left.release()  # wakes the fetch loop, which may wait for batches that nobody will handle

    # -- for readiness and lag

    def misses_partitions(self) -> bool:
        """Whether it lacks partitions of one of its topics that it has of another, or has none at all.

        So it is when a topic was missing while the group's partitions were shared out.
        """
        consumer = self._thread._consumer
        if consumer is None:
            return True
        assigned = consumer.assignment()
        numbers = [{tp.partition for tp in assigned if tp.topic == topic} for topic in consumer.subscription()]
        return not assigned or any(found != numbers[0] for found in numbers)

    def rejoin(self) -> None:
        """Lets the group share its partitions out again, if this member is its leader."""
        self._thread._consumer._coordinator.request_rejoin()

    def ends(self) -> dict[TP, tuple[int, int]]:
        """The next offset to fetch of each partition, and the end of its log according to the broker's last answer."""
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
    """Waits for start positions without a limit: Faust's own gives up for good after the timeout of a request."""

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        await super()._wait(coro)


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with batches.

    `listener`: hears when partitions come and go. `paced`: when records arrive one by one at a high rate, the broker
    collects them for some milliseconds. Consumers behind this one follow the pace of its output.
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
