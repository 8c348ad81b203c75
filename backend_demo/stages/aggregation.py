"""aggregation: `processed-data` -> `aggregated-data`. Exact averages of each sensor's newest readings.

The order of work is always: output durable, then state durable, then the input acknowledged. So whatever is
acknowledged is in the state, whatever is in the state was sent, and a replay skips what the state holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import structlog
from aiokafka import TopicPartition
from faust.types import TP

from backend_demo import metrics
from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.activity import Activity
from backend_demo.domain.state_log import PartitionLog, State, StateFit
from backend_demo.domain.steps import Average, Outcome
from backend_demo.domain.topics import AGGREGATED_DATA, AGGREGATION_STATE, DEAD_LETTER, PARTITIONS, PROCESSED_DATA
from backend_demo.faust_batch.batch import Batch
from backend_demo.faust_batch.producer import BatchProducer, Message
from backend_demo.kafka_record import LogRange
from backend_demo.settings import Settings
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.sink import KafkaSink, Sink
from backend_demo.stages.runtime.worker import Source, Worker

log = structlog.get_logger(__name__)

FLUSH_INTERVAL_S = 1.0
COUNT_INTERVAL_S = 5.0

LoadState = Callable[[Sequence[int]], Awaitable[Mapping[int, PartitionLog]]]
"""Reads these partitions of `aggregation-state`."""


class Checkpoint:
    """The state's durable copy on the compacted topic `aggregation-state`, and the batches that wait for it.

    `sensors`: how many windows a partition may have. `future_tolerance_s`: how far ahead of the clock a reading may be.
    """

    def __init__(
        self,
        state: State,
        producer: BatchProducer,
        load: LoadState,
        process: ServiceProcess,
        *,
        sensors: int,
        future_tolerance_s: float,
        activity: Activity,
    ) -> None:
        self._state = state
        self._producer = producer
        self._load = load
        self._process = process
        self._sensors = sensors
        self._future_tolerance_s = future_tolerance_s
        self._activity = activity
        self._held: list[Batch] = []
        self.applying = asyncio.Lock()
        """Locked while windows are ahead of their durable output: no copy may be taken then."""
        self._flushing = asyncio.Lock()

    def hold(self, batch: Batch) -> None:
        """Keeps a batch whose output is durable; it is acknowledged after the next flush."""
        self._held.append(batch)

    async def flush(self) -> None:
        """Makes the state durable, then acknowledges the batches that are in it.

        1. Take the batches whose output is durable, and the windows that they have changed.
        2. Send the windows; returns when Kafka has acknowledged them.
        3. Acknowledge the batches.
        """
        async with self._flushing:
            async with self.applying:  # 1
                held, self._held = self._held, []
                messages: dict[tuple[str, int], Sequence[Message]] = {
                    (AGGREGATION_STATE, partition): found
                    for partition in list(self._state.windows)
                    if (found := self._changes(partition))
                }
            if messages:  # 2
                self._process.failpoints.hit("aggregation-before-state")
                self._process.end_if_suspended()
                await self._producer.send(messages)
                self._process.failpoints.hit("aggregation-after-state")
            for batch in held:  # 3
                batch.ack()

    def _changes(self, partition: int) -> Sequence[Message]:
        evicted = self._state.shrink(partition, self._sensors)
        self._activity.heard(partition, self._state.changed[partition], time.time())
        return self._state.records(partition, evicted)

    # -- PartitionListener

    async def assigned(self, partitions: Mapping[TP, LogRange]) -> Mapping[TP, int]:
        """Loads the windows, and makes them those of this topic where they are of another or incomplete."""
        loaded = await self._load([tp.partition for tp in partitions])
        self._activity.restore({partition: found.newest_times for partition, found in loaded.items()})
        self._state.restore(loaded)
        begins: dict[TP, int] = {}
        messages: dict[tuple[str, int], Sequence[Message]] = {}
        latest = time.time() + self._future_tolerance_s
        for tp, limits in partitions.items():
            fit = loaded[tp.partition].examine(limits)
            if fit is StateFit.CREATED_AGAIN:
                begins[tp] = limits.begin
            if fit is not StateFit.SAME:
                log.error("the windows are not those of this topic", partition=tp.partition, fit=fit.name.lower())
            messages[AGGREGATION_STATE, tp.partition] = self._state.follow(tp.partition, limits, fit, latest=latest)
        await self._producer.send(messages)
        return begins

    async def revoked(self, partitions: frozenset[TP]) -> None:
        """Flushes: another aggregation may own these windows from now on."""
        await self.flush()


async def load_state(brokers: Brokers, partitions: Sequence[int]) -> dict[int, PartitionLog]:
    """Reads these partitions of `aggregation-state` from begin to end."""
    loaded = {partition: PartitionLog() for partition in partitions}
    if not partitions:
        return loaded
    consumer = kafka.reader(brokers, "bdemo-aggregation")
    await consumer.start()
    try:
        targets = [TopicPartition(AGGREGATION_STATE, partition) for partition in partitions]
        consumer.assign(targets)
        ends = await consumer.end_offsets(targets)
        await consumer.seek_to_beginning(*targets)
        while any([await consumer.position(target) < ends[target] for target in targets]):
            for target, records in (await consumer.getmany(timeout_ms=1000)).items():
                for record in records:
                    loaded[target.partition].read(record.key, record.value, record.headers)
    finally:
        await consumer.stop()
    return loaded


async def run(step: Average, batches: Source, sink: Sink, checkpoint: Checkpoint, activity: Activity) -> None:
    """Handles batches until there are no more.

    1. Put the batch's readings into the windows.
    2. Send the averages that this changes, and dead letters; returns when Kafka has acknowledged them.
    3. Hand the batch to the checkpoint.
    4. Once per FLUSH_INTERVAL_S, and when partitions are revoked, the checkpoint makes the windows durable and then
       acknowledges the batches: `Checkpoint.flush`.
    """
    async with asyncio.TaskGroup() as tasks:
        regular = [tasks.create_task(_flush_regularly(checkpoint)), tasks.create_task(_count_sensors(activity))]
        async for batch in batches:
            async with checkpoint.applying:
                outcome = step(batch.of(PROCESSED_DATA))  # 1
                await sink.send(outcome)  # 2
                checkpoint.hold(batch)  # 3
            _count(outcome)
        for task in regular:
            task.cancel()


async def _flush_regularly(checkpoint: Checkpoint) -> None:
    while True:
        await asyncio.sleep(FLUSH_INTERVAL_S)
        await checkpoint.flush()


async def _count_sensors(activity: Activity) -> None:
    while True:
        await asyncio.sleep(COUNT_INTERVAL_S)
        active, silent = activity.count(time.time())
        metrics.sensors.labels("active").set(active)
        metrics.sensors.labels("silent").set(silent)


def _count(outcome: Outcome) -> None:
    metrics.values_received.inc(outcome.received)
    metrics.values_aggregated.inc(outcome.received - len(outcome.dead_letters))
    metrics.duplicates.labels("aggregation").inc(outcome.counts["duplicate"])
    metrics.conflicts.labels("aggregation").inc(outcome.counts["conflict"])
    metrics.late_readings.inc(outcome.counts["late"] + outcome.counts["repair"])
    metrics.repairs.labels("aggregation").inc(outcome.counts["repair"])


async def main(settings: Settings, process: ServiceProcess, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set."""
    worker = Worker(
        settings,
        process,
        "aggregation",
        consumes=(PROCESSED_DATA,),
        produces=(AGGREGATED_DATA, AGGREGATION_STATE, DEAD_LETTER),
        niceness=2,
    )
    state, activity = State(), Activity(silent_s=settings.sensor_silent_s)
    step = Average(state, window=settings.aggregation_window, lateness=settings.aggregation_lateness)
    checkpoint = Checkpoint(
        state,
        worker.producer,
        partial(load_state, Brokers.of(settings)),
        process,
        sensors=settings.aggregation_sensors // PARTITIONS,
        future_tolerance_s=settings.future_tolerance_s,
        activity=activity,
    )
    sink = KafkaSink(worker.producer, "aggregation", AGGREGATED_DATA, process, worker.tracing)
    await worker.run(lambda batches: run(step, batches, sink, checkpoint, activity), stop, listener=checkpoint)
