"""loader: `processed-data` and `aggregated-data` -> PostgreSQL. Each reading one row, each average one row.

The fence in the database says how far each partition is loaded, and moves in the transaction of the rows. Kafka's
committed offset is only a hint: after every assignment the loader begins at the fence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from faust.types import TP
from prometheus_client import Histogram

from backend_demo import metrics
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.load import Key, Load, conflicts
from backend_demo.domain.record import Record
from backend_demo.domain.topics import AGGREGATED_DATA, DEAD_LETTER, PROCESSED_DATA
from backend_demo.errors import ServiceFailed
from backend_demo.faust_batch.batch import Batch
from backend_demo.faust_batch.producer import BatchProducer
from backend_demo.settings import Settings
from backend_demo.stages import failpoints
from backend_demo.stages.progress import Progress
from backend_demo.stages.sink import count_dead_letters, dead_letter_messages
from backend_demo.stages.worker import Source, Worker
from backend_demo.storage.retry import FAILURES
from backend_demo.storage.session import Session
from backend_demo.storage.write import (
    Partition,
    Rows,
    Tables,
    Written,
    begin_fence,
    read_fence,
    was_committed,
    write,
)
from backend_demo.tracing import OFF, Tracing

log = structlog.get_logger(__name__)

#: Records that are decoded in one go, about a millisecond: in between, the transaction under way goes on.
PORTION = 1_000

#: How long partitions wait, when they move, for the transaction under way.
REVOKED_LIMIT_S = 10.0


@dataclass(frozen=True)
class Plan:
    """A batch and what its transaction brings to the tables."""

    batch: Batch
    found: Load
    rows: Rows


class Loader:
    """One connection to PostgreSQL, the fence as this loader knows it, and the records that wait behind a repair.

    While the transaction of one batch is under way, the next batch is planned: on top of what that one will leave.
    """

    def __init__(self, settings: Settings, producer: BatchProducer, progress: Progress, tracing: Tracing = OFF) -> None:
        self._window = settings.aggregation_window
        self._producer = producer
        self._progress = progress
        self._tracing = tracing
        self._session = Session(settings.postgres_dsn)
        self._tables = Tables()
        self._fence: dict[Partition, int] = {}
        self._read_to: dict[Partition, int] = {}
        self._held: dict[int, list[Record]] = {}
        self._under_way: asyncio.Task[None] | None = None

    # -- PartitionListener

    async def assigned(self, partitions: Mapping[TP, tuple[int, int]]) -> Mapping[TP, int]:
        """Begins at the fence. Raises ServiceFailed when a topic was made anew; says so when records are gone."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
        logs = {(tp.topic, tp.partition): limits for tp, limits in partitions.items()}
        fence = await self._session.run(lambda connection: read_fence(connection, list(logs)))
        begins: dict[Partition, int] = {}
        for partition, (begin, end) in logs.items():
            known = fence.get(partition)
            if known is None:
                begins[partition] = begin
            elif known > end:
                raise ServiceFailed(
                    f"{partition[0]} partition {partition[1]} ends at {end}, was loaded to {known}: it was made anew",
                    hint="begin anew with: bdemo down --wipe",
                )
            elif known < begin:
                self._tell_gap(partition, known, begin)
                begins[partition] = begin
        if begins:
            await self._session.run(lambda connection: begin_fence(connection, begins))
        self._fence = {**fence, **begins}
        self._read_to = dict(self._fence)
        self._held = {}
        return {TP(*partition): offset for partition, offset in self._fence.items()}

    async def revoked(self, partitions: frozenset[TP]) -> None:
        """Lets the transaction under way end."""
        if self._under_way is not None:
            _, pending = await asyncio.wait([self._under_way], timeout=REVOKED_LIMIT_S)
            if pending:
                log.warning("transaction still under way", limit_s=REVOKED_LIMIT_S)

    # -- a batch

    async def load(self, batch: Batch, commits: asyncio.TaskGroup) -> None:
        """Plans the batch, waits for the transaction of the one before, and begins its own, which acknowledges it."""
        plan = await self._plan(batch)
        if self._under_way is not None:
            await self._under_way
        if not batch.stale:
            self._under_way = commits.create_task(self._commit(plan, self._tracing.span))

    async def _plan(self, batch: Batch) -> Plan:
        self._check_gaps(batch)
        ends = {(tp.topic, tp.partition): got[-1].offset + 1 for tp, got in batch.records.items()}
        read_to = {**self._read_to, **ends}
        aggregated = {**self._held}
        for partition, got in batch.of(AGGREGATED_DATA).items():
            aggregated[partition] = [*aggregated.get(partition, ()), *got]
        found = Load()
        for arrived in batch.of(PROCESSED_DATA).values():
            for portion in _portions(arrived):
                found.take_processed(portion)
                await asyncio.sleep(0)
        for partition, records in aggregated.items():
            for portion in _portions(records):
                found.take_aggregated(partition, portion, read_to.get((PROCESSED_DATA, partition), 0))
                await asyncio.sleep(0)
        fence = {**read_to, **{(AGGREGATED_DATA, partition): held[0].offset for partition, held in found.held.items()}}
        moves = {
            partition: (self._fence[partition], offset)
            for partition, offset in fence.items()
            if offset != self._fence[partition]
        }
        self._fence, self._read_to, self._held = fence, read_to, found.held
        return Plan(batch, found, Rows(readings=found.readings, averages=found.averages, fence=moves))

    async def _commit(self, plan: Plan, span: Any) -> None:
        """Returns when the batch is committed. `span`: the batch's. Raises FenceLost."""
        rows, found = plan.rows, plan.found
        uncertain = False
        await self._send(found.dead_letters)

        async def tell(stored: Mapping[Key, float]) -> None:
            await self._send(conflicts(plan.batch.of(PROCESSED_DATA), {**found.contested, **stored}))

        async def attempt(connection: asyncpg.Connection) -> Written:
            nonlocal uncertain
            if uncertain and await was_committed(connection, rows):
                return Written(len(rows.readings), sum(len(averages.stored) for averages in rows.averages), {})
            uncertain = True
            failpoints.hit("loader-before-commit")
            written = await write(connection, rows, self._tables, window=self._window, on_conflicts=tell)
            failpoints.hit("loader-after-commit")
            return written

        begin = time.monotonic()
        with self._tracing.step("transaction", span):
            written = await self._session.run(attempt)
        plan.batch.ack()
        metrics.database_seconds.observe(time.monotonic() - begin)
        # when the next transaction has begun
        asyncio.get_running_loop().call_later(0.001, self._count, plan, written, time.time())

    def _count(self, plan: Plan, written: Written, committed_at: float) -> None:
        self._progress.done(plan.batch.records, committed_at)
        _count(plan.found, written, committed_at)

    async def _send(self, letters: list[DeadLetter]) -> None:
        if letters:
            await self._producer.send(dead_letter_messages(letters))
            count_dead_letters("loader", letters)

    def _check_gaps(self, batch: Batch) -> None:
        for tp, records in batch.records.items():
            partition = (tp.topic, tp.partition)
            if records[0].offset > self._read_to[partition]:
                self._tell_gap(partition, self._read_to[partition], records[0].offset)

    def _tell_gap(self, partition: Partition, expected: int, found: int) -> None:
        metrics.log_gaps.inc()
        log.error("records are gone", topic=partition[0], partition=partition[1], first=expected, last=found - 1)

    def close(self) -> None:
        """Ends the connection."""
        self._session.close()


def _portions(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    for begin in range(0, len(records), PORTION):
        yield records[begin : begin + PORTION]


def _count(found: Load, written: Written, committed_at: float) -> None:
    averages = sum(len(step.stored) for step in found.averages)
    metrics.database_rows.observe(len(found.readings) + averages)
    metrics.values_loaded.inc(written.inserted)
    metrics.averages_loaded.inc(written.averages)
    metrics.repairs.labels("loader").inc(sum(len(step.repairs) for step in found.averages))
    metrics.conflicts.labels("loader").inc(len({**found.contested, **written.conflicts}))
    repeated = len(found.readings) - written.inserted - len(written.conflicts) + found.duplicates
    metrics.duplicates.labels("loader").inc(repeated)
    _observe((metrics.value_latency, metrics.end_to_end.labels("temperature")), committed_at, found.readings)
    for step in found.averages:
        _observe((metrics.average_latency, metrics.end_to_end.labels("average")), committed_at, step.stored)


def _observe(latencies: tuple[Histogram, Histogram], now: float, rows: Mapping[Key, float]) -> None:
    metrics.observe_ages(latencies, now, [timestamp for _, timestamp in rows])


async def run(batches: Source, loader: Loader) -> None:
    """A batch in, its rows and the fence committed, then the acknowledgement."""
    async with asyncio.TaskGroup() as commits:
        async for batch in batches:
            await loader.load(batch, commits)


class LoaderWorker(Worker):
    """A worker that also needs PostgreSQL, and whose batches are done when their transaction is."""

    def handled(self, batch: Batch) -> None:
        """Its transaction is under way; the loader tells when it is done."""

    async def dependencies_up(self) -> bool:
        try:
            connection = await asyncpg.connect(self.settings.postgres_dsn, timeout=3)
        except FAILURES:
            return False
        await connection.close()
        return True


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """The service."""
    worker = LoaderWorker(
        settings, "loader", consumes=(PROCESSED_DATA, AGGREGATED_DATA), produces=(DEAD_LETTER,), paced=True
    )
    loader = Loader(settings, worker.producer, worker.progress, worker.tracing)
    worker.listener = loader
    try:
        await worker.run(lambda batches: run(batches, loader), stop)
    finally:
        loader.close()
