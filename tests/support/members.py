"""Processes of the aggregation and the loader, with their own code, on a log in memory and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from faust.types import TP

from backend_demo.domain.activity import Activity
from backend_demo.domain.state_log import PartitionLog, State
from backend_demo.domain.steps import Average
from backend_demo.domain.topics import AGGREGATED_DATA, AGGREGATION_STATE, PROCESSED_DATA
from backend_demo.faust_batch.batch import Batch, PartitionListener
from backend_demo.settings import Settings
from backend_demo.stages import aggregation, loader
from backend_demo.stages.aggregation import Checkpoint
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.progress import Progress
from backend_demo.stages.runtime.sink import KafkaSink
from backend_demo.storage.session import Session
from tests.support.kafka_log import Log, LogConsumer, LogProducer

#: Small, so that readings soon are too old for a window.
WINDOW, LATENESS = 3, 2


class Member(LogConsumer):
    """One process of a stage."""

    topics: tuple[str, ...]
    listener: PartitionListener

    def __init__(self, log: Log, group: str) -> None:
        super().__init__(log, group, self.topics)
        self.producer = LogProducer(log)
        self.process = ServiceProcess()

    async def work(self, batches: AsyncIterator[Batch]) -> None:
        """Handles batches until there are no more."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Makes durable, and acknowledges, what may have waited until now."""

    def close(self) -> None:
        """Releases what a process would not survive."""


class AggregationMember(Member):
    topics = (PROCESSED_DATA,)

    def __init__(self, log: Log, sensors: int) -> None:
        super().__init__(log, "aggregation")
        state, self._activity = State(), Activity(silent_s=60)
        self._step = Average(state, window=WINDOW, lateness=LATENESS)
        self.listener = self._checkpoint = Checkpoint(
            state,
            self.producer,  # type: ignore[arg-type]
            self._load,
            self.process,
            sensors=sensors,
            future_tolerance_s=0.0,
            activity=self._activity,
        )

    async def _load(self, partitions: Sequence[int]) -> dict[int, PartitionLog]:
        loaded = {partition: PartitionLog() for partition in partitions}
        for partition, state in loaded.items():
            for record in self.log.records[TP(AGGREGATION_STATE, partition)]:
                assert record.key is not None
                state.read(record.key, record.value, record.headers)
        return loaded

    async def work(self, batches: AsyncIterator[Batch]) -> None:
        sink = KafkaSink(self.producer, "aggregation", AGGREGATED_DATA, self.process)  # type: ignore[arg-type]
        await aggregation.run(self._step, batches, sink, self._checkpoint, self._activity)

    async def finish(self) -> None:
        await self._checkpoint.flush()


class LostInCommit:
    """A connection that is gone when a transaction is to be committed: PostgreSQL rolls it back."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def transaction(self) -> Any:
        return self._connection.transaction() if self._connection.is_in_transaction() else self._lost()

    @asynccontextmanager
    async def _lost(self) -> AsyncIterator[None]:
        async with self._connection.transaction():
            yield
            raise ConnectionResetError


class UnreliableSession(Session):
    """Loses the connection in a COMMIT that fails, or the answer to one that succeeds."""

    loses: str | None = None

    async def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def unreliable(connection: Any) -> Any:
            loses, self.loses = self.loses, None
            found = await work(LostInCommit(connection) if loses == "transaction" else connection)
            if loses == "answer":
                raise ConnectionResetError
            return found

        return await super().run(unreliable)


class LoaderMember(Member):
    topics = (PROCESSED_DATA, AGGREGATED_DATA)

    def __init__(self, log: Log, dsn: str) -> None:
        super().__init__(log, "loader")
        configured = Settings(postgres_dsn=dsn, aggregation_window=WINDOW)
        self.session = UnreliableSession(dsn)
        self.listener = self._loader = loader.Loader(
            configured,
            self.producer,  # type: ignore[arg-type]
            Progress("loader"),
            self.process,
            self.session,
        )

    async def work(self, batches: AsyncIterator[Batch]) -> None:
        await loader.run(batches, self._loader)

    def close(self) -> None:
        self.session.close()
