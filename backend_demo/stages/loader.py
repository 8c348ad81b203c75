"""loader: `processed-data` and `aggregated-data` -> PostgreSQL. Each reading is one row, each average is one row.

The fence in the database says how far each partition is loaded, and moves in the transaction of the rows. Kafka's
committed offset is only a hint: after every assignment the loader begins at the fence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import asyncpg
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from backend_demo import metrics
from backend_demo.adapters import kafka, postgres
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain import loading, retention
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.fence import start
from backend_demo.domain.loading import Draft, Ends, Key, LoadPlan, Position, conflicts
from backend_demo.domain.topics import AGGREGATED_DATA, DEAD_LETTER, PROCESSED_DATA, SENSOR_NAMES
from backend_demo.faust_batch.batch import Batch
from backend_demo.faust_batch.producer import BatchProducer
from backend_demo.faust_batch.topic_ids import topic_ids
from backend_demo.kafka_record import LogRange
from backend_demo.settings import Settings
from backend_demo.stages.loaded import count, report
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.progress import Progress
from backend_demo.stages.runtime.sink import count_dead_letters, dead_letter_messages
from backend_demo.stages.runtime.worker import Source, Worker
from backend_demo.stages.tidying import tidying
from backend_demo.storage.copying import Tables
from backend_demo.storage.fence import read_fence, set_fence, was_committed
from backend_demo.storage.retention import TooOld
from backend_demo.storage.sensor_names import insert_names
from backend_demo.storage.session import Session
from backend_demo.storage.write import Written, write
from backend_demo.telemetry import OFF, Tracing

log = structlog.get_logger(__name__)

#: Records decoded at a time, about a millisecond: in between, the transaction under way goes on.
PORTION = 1_000

#: How long a repair waits for its reading before Kafka is asked whether there is one, and between questions, seconds.
HELD_LIMIT_S = 5.0

#: How long a rebalance waits for the transaction under way, seconds.
REVOKED_LIMIT_S = 10.0


async def ends_unknown(partitions: Collection[int]) -> Ends:
    """Nobody is asked."""
    return Ends()


class Loader:
    """One connection to PostgreSQL, and the position from which the next batch is planned.

    While the transaction of one batch is under way, the next batch is planned, from the position that it will leave.
    """

    def __init__(
        self,
        settings: Settings,
        producer: BatchProducer,
        progress: Progress,
        process: ServiceProcess,
        session: Session,
        tracing: Tracing = OFF,
        ends: Callable[[Collection[int]], Awaitable[Ends]] = ends_unknown,
    ) -> None:
        """`ends`: asks Kafka about partitions of `processed-data`."""
        self._window = settings.aggregation_window
        self._producer = producer
        self._progress = progress
        self._process = process
        self._session = session
        self._tracing = tracing
        self._tables = Tables()
        self._position = Position()
        self._under_way: asyncio.Task[None] | None = None
        self._ends = ends
        self._held: dict[int, tuple[int, float]] = {}
        """The offset at which a partition of `aggregated-data` waits, and since when, or since the last question."""

    # -- PartitionListener

    async def assigned(self, partitions: Mapping[TP, LogRange]) -> Mapping[TP, int]:
        """Begins at the fence, and reports records and topics that are gone."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
        # names are inserted once however often they come: where they begin is left to the committed offsets
        logs = {(tp.topic, tp.partition): limits for tp, limits in partitions.items() if tp.topic != SENSOR_NAMES}
        stored = await self._session.run(lambda connection: read_fence(connection, list(logs)))
        begin = start(logs, stored)
        for (topic, partition), loaded in begin.created_again.items():
            metrics.log_gaps.inc()
            log.error(
                "topic was deleted and created again: what it held after that offset was not loaded",
                topic=topic,
                partition=partition,
                loaded_to=loaded,
            )
        report(begin.gaps)
        if begin.moved:
            await self._session.run(lambda connection: set_fence(connection, begin.moved, stored))
        self._position = Position.at(
            begin.fence,
            {tp.topic: found.topic_id for tp, found in partitions.items() if found.topic_id},
            {tp.partition: found.end for tp, found in partitions.items() if tp.topic == AGGREGATED_DATA},
        )
        return {TP(*partition): offset for partition, offset in begin.fence.items()}

    async def revoked(self, partitions: frozenset[TP]) -> None:
        """Waits for the transaction under way."""
        if self._under_way is not None:
            _, pending = await asyncio.wait([self._under_way], timeout=REVOKED_LIMIT_S)
            if pending:
                log.warning("transaction still under way", limit_s=REVOKED_LIMIT_S)

    # -- the steps of `run`

    async def plan(self, batch: Batch) -> LoadPlan:
        """Decodes the batch and decides what its transaction does."""
        ends = await self._ends_of_waiting(time.monotonic())
        draft = Draft(self._position, batch.of(PROCESSED_DATA), batch.of(AGGREGATED_DATA), ends)
        report(draft.gaps)
        for _ in draft.take(PORTION):
            await asyncio.sleep(0)  # the transaction under way goes on
        plan, self._position = draft.plan()
        return plan

    async def _ends_of_waiting(self, now: float) -> Ends:
        """Where `processed-data` ends, for partitions that have waited for long."""
        heads = {partition: records[0].offset for partition, records in self._position.held.items()}
        self._held = {
            partition: known if (known := self._held.get(partition, (-1, now)))[0] == offset else (offset, now)
            for partition, offset in heads.items()
        }
        long = [partition for partition, (_, since) in self._held.items() if now - since > HELD_LIMIT_S]
        if not long:
            return Ends()
        self._held.update({partition: (heads[partition], now) for partition in long})
        return await self._ends(long)

    async def committed(self) -> None:
        """Waits for the transaction under way. Raises what has ended it."""
        if self._under_way is not None:
            await self._under_way

    def begin(self, batch: Batch, plan: LoadPlan, commits: asyncio.TaskGroup) -> None:
        """Begins the batch's transaction."""
        self._under_way = commits.create_task(self._commit(batch, plan, self._tracing.span))

    async def _commit(self, batch: Batch, plan: LoadPlan, span: Any) -> None:
        """Steps 3 to 5 of `run`. `span`: the batch's. Raises FenceLost."""
        uncertain = False
        names, unreadable = loading.names(batch.of(SENSOR_NAMES))
        await self._send([*plan.dead_letters, *unreadable])  # 3

        async def send_conflicts(stored: Mapping[Key, float]) -> None:
            await self._send(conflicts(batch.of(PROCESSED_DATA), {**plan.contested, **stored}))

        async def attempt(connection: asyncpg.Connection) -> Written:
            nonlocal uncertain
            if uncertain and await was_committed(connection, plan.fence, plan.topic_ids):
                return Written(len(plan.readings), sum(len(averages.stored) for averages in plan.averages), {})
            uncertain = True
            self._process.failpoints.hit("loader-before-commit")
            written = await write(connection, plan, self._tables, window=self._window, on_conflicts=send_conflicts)
            self._process.failpoints.hit("loader-after-commit")
            return written

        begin = time.monotonic()
        with self._tracing.step("transaction", span):
            if names:
                shared = await self._session.run(lambda connection: insert_names(connection, names))
                await self._send([loading.shared_number(name, other) for name, other in shared])
            while True:
                try:
                    written = await self._session.run(attempt)  # 4
                    break
                except TooOld as problem:  # retention has dropped that time since the readings were collected
                    plan, uncertain = retention.kept(plan, problem.kept_from), False
                    await self._send(retention.too_old(batch.of(PROCESSED_DATA), problem.kept_from))
        batch.ack()  # 5
        metrics.database_seconds.observe(time.monotonic() - begin)
        # once the next transaction has begun
        asyncio.get_running_loop().call_later(0.001, self._count, batch, plan, written, time.time())

    def _count(self, batch: Batch, plan: LoadPlan, written: Written, committed_at: float) -> None:
        self._progress.done(batch.records, committed_at)
        count(plan, written, committed_at)

    async def _send(self, letters: Sequence[DeadLetter]) -> None:
        if letters:
            await self._producer.send(dead_letter_messages(letters))
            count_dead_letters("loader", letters)


async def run(batches: Source, loader: Loader) -> None:
    """Handles batches until there are no more.

    1. LoadPlan the batch, while the transaction of the one before is under way.
    2. Wait for that transaction.
    3. In a task, which the next batch's step 1 overlaps: send the dead letters; returns when Kafka has acknowledged
       them.
    4. Insert names of sensors that are new; write the rows and move the fence, in one transaction, and commit it.
    5. Acknowledge the batch.
    """
    async with asyncio.TaskGroup() as commits:
        async for batch in batches:
            plan = await loader.plan(batch)  # 1
            await loader.committed()  # 2
            if not batch.stale:
                loader.begin(batch, plan, commits)  # 3 to 5


async def postgres_up(dsn: str) -> bool:
    """Whether PostgreSQL accepts a connection."""
    try:
        connection = await postgres.connect(dsn, timeout_s=3.0)
    except postgres.FAILURES:
        return False
    await connection.close()
    return True


async def ends_of_processed(brokers: Brokers, partitions: Collection[int]) -> Ends:
    """Where these partitions of `processed-data` end; empty while Kafka does not say it."""
    consumer = kafka.reader(brokers, "bdemo-loader-ends", request_timeout_s=10.0)
    try:
        async with asyncio.timeout(10.0):
            await consumer.start()
            ids = await topic_ids(consumer._client, [PROCESSED_DATA])
            found = await consumer.end_offsets([TopicPartition(PROCESSED_DATA, number) for number in partitions])
        return Ends({each.partition: end for each, end in found.items()}, ids.get(PROCESSED_DATA, ""))
    except (KafkaError, OSError):
        return Ends()
    finally:
        await consumer.stop()


def _leave_to_the_loader(batch: Batch) -> None:
    """The batch's transaction is still under way: the loader counts it after the commit."""


async def main(settings: Settings, process: ServiceProcess, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set."""
    for table in ("temperature", "average"):  # a histogram that starts at its first row would hide that one from rates
        metrics.end_to_end.labels(table)
    worker = Worker(
        settings,
        process,
        "loader",
        consumes=(PROCESSED_DATA, AGGREGATED_DATA, SENSOR_NAMES),
        produces=(DEAD_LETTER,),
        paced=True,
    )
    session = Session(settings.postgres_dsn)
    ends = partial(ends_of_processed, Brokers.of(settings))
    loader = Loader(settings, worker.producer, worker.progress, process, session, worker.tracing, ends)
    try:
        async with tidying(settings, process):
            await worker.run(
                lambda batches: run(batches, loader),
                stop,
                listener=loader,
                done=_leave_to_the_loader,
                dependencies_up=partial(postgres_up, settings.postgres_dsn),
            )
    finally:
        session.close()
