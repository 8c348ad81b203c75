"""loader: `processed-data` and `aggregated-data` -> PostgreSQL. Each reading one row, each average one row.

The fence in the database says how far each partition is loaded, and moves in the transaction of the rows. Kafka's
committed offset is only a hint: after every assignment the loader begins at the fence.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import asyncpg
import structlog
from faust.types import TP

from backend_demo import metrics
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.steps import Key, Load, Record, conflicts, load
from backend_demo.domain.topics import AGGREGATED_DATA, DEAD_LETTER, PROCESSED_DATA
from backend_demo.errors import ServiceFailed
from backend_demo.faust_batch.producer import BatchProducer
from backend_demo.faust_batch.transport import Batch
from backend_demo.settings import Settings
from backend_demo.stages import failpoints
from backend_demo.stages.sink import count_dead_letters, dead_letter_messages
from backend_demo.stages.worker import Source, Worker
from backend_demo.storage.retry import FAILURES, is_transient
from backend_demo.storage.write import FenceLost, Partition, Rows, Tables, Written, begin_fence, read_fence, write

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Loader:
    """One connection to PostgreSQL, the fence as this loader knows it, and the records that wait behind a repair."""

    def __init__(self, settings: Settings, producer: BatchProducer) -> None:
        self._settings = settings
        self._producer = producer
        self._connection: Any = None
        self._tables = Tables()
        self._using = asyncio.Lock()
        self._fence: dict[Partition, int] = {}
        self._read_to: dict[Partition, int] = {}
        self._held: dict[int, list[Record]] = {}

    # -- PartitionListener

    async def assigned(self, partitions: Mapping[TP, tuple[int, int]]) -> Mapping[TP, int]:
        """Begins at the fence. Raises ServiceFailed when a topic was made anew; says so when records are gone."""
        logs = {(tp.topic, tp.partition): limits for tp, limits in partitions.items()}
        fence = await self._retried(lambda connection: read_fence(connection, list(logs)))
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
            await self._retried(lambda connection: begin_fence(connection, begins))
        self._fence = {**fence, **begins}
        self._read_to = dict(self._fence)
        self._held = {}
        return {TP(*partition): offset for partition, offset in self._fence.items()}

    async def revoked(self, partitions: frozenset[TP]) -> None:
        """Nothing is held: a batch is loaded or it is not."""

    # -- a batch

    async def load(self, batch: Batch) -> None:
        """Loads one batch; returns when it is committed. Raises FenceLost."""
        self._check_gaps(batch)
        read_to = {
            **self._read_to,
            **{(tp.topic, tp.partition): got[-1].offset + 1 for tp, got in batch.records.items()},
        }
        processed, aggregated = batch.of(PROCESSED_DATA), {**self._held}
        for partition, records in batch.of(AGGREGATED_DATA).items():
            aggregated[partition] = [*aggregated.get(partition, ()), *records]
        loaded = {partition: offset for (topic, partition), offset in read_to.items() if topic == PROCESSED_DATA}
        found = load(processed, aggregated, loaded)
        fence = {**read_to, **{(AGGREGATED_DATA, partition): held[0].offset for partition, held in found.held.items()}}
        rows = Rows(
            readings=found.readings,
            averages=found.averages,
            fence={
                partition: (self._fence[partition], offset)
                for partition, offset in fence.items()
                if offset != self._fence[partition]
            },
        )
        await self._send(found.dead_letters)

        async def tell(stored: Mapping[Key, float]) -> None:
            await self._send(conflicts(processed, {**found.contested, **stored}))

        written = await self._write(rows, tell)
        self._fence, self._read_to, self._held = fence, read_to, found.held
        self._count(found, written)

    async def _write(self, rows: Rows, on_conflicts: Callable[[Mapping[Key, float]], Awaitable[None]]) -> Written:
        uncertain = False

        async def attempt(connection: Any) -> Written:
            nonlocal uncertain
            if uncertain and await self._was_committed(connection, rows):
                return Written(len(rows.readings), sum(len(averages.stored) for averages in rows.averages), {})
            uncertain = True
            failpoints.hit("loader-before-commit")
            written = await write(
                connection,
                rows,
                self._tables,
                window=self._settings.aggregation_window,
                on_conflicts=on_conflicts,
            )
            failpoints.hit("loader-after-commit")
            return written

        return await self._retried(attempt)

    async def _was_committed(self, connection: Any, rows: Rows) -> bool:
        """Whether an attempt whose answer was lost had been committed. Raises FenceLost."""
        now = await read_fence(connection, list(rows.fence))
        if rows.fence and all(now[partition] == becomes for partition, (_, becomes) in rows.fence.items()):
            return True
        if any(now[partition] != was for partition, (was, _) in rows.fence.items()):
            raise FenceLost
        return False

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

    def _count(self, found: Load, written: Written) -> None:
        metrics.values_loaded.inc(written.inserted)
        metrics.averages_loaded.inc(written.averages)
        metrics.repairs.labels("loader").inc(sum(len(averages.repairs) for averages in found.averages))
        metrics.conflicts.labels("loader").inc(len({**found.contested, **written.conflicts}))
        repeated = len(found.readings) - written.inserted - len(written.conflicts) + found.duplicates
        metrics.duplicates.labels("loader").inc(repeated)
        now = time.time()
        metrics.observe_all(metrics.value_latency, [max(0.0, now - timestamp) for _, timestamp in found.readings])
        metrics.observe_all(
            metrics.average_latency,
            [max(0.0, now - timestamp) for averages in found.averages for _, timestamp in averages.stored],
        )

    # -- the connection

    async def _retried(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Runs `work(connection)`, again on a new connection for as long as PostgreSQL is away."""
        attempt = 0
        while True:
            try:
                async with self._using:
                    return await work(await self._connected())
            except FAILURES as problem:
                if not is_transient(problem):
                    raise
                attempt += 1
                log.warning("waits for PostgreSQL", problem=type(problem).__name__, detail=str(problem)[:200])
                await self.close()
                await asyncio.sleep(min(2.0, 0.1 * 2 ** min(attempt, 6)) * random.uniform(0.5, 1.0))

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._settings.postgres_dsn, timeout=5, command_timeout=60)
        return self._connection

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def run(batches: Source, loader: Loader) -> None:
    """A batch in, one transaction, then the acknowledgement."""
    async for batch in batches:
        await loader.load(batch)
        batch.ack()


class LoaderWorker(Worker):
    """A worker that also needs PostgreSQL."""

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
    loader = Loader(settings, worker.producer)
    worker.listener = loader
    try:
        await worker.run(lambda batches: run(batches, loader), stop)
    finally:
        await loader.close()
