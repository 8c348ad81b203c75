"""aggregation: `processed-data` -> `aggregated-data`. Averages of each sensor's last readings, exact whatever happens.

Order of work: output durable, then state durable, then the input acknowledged. So what is acknowledged is in the
state, what is in the state was sent, and a replay skips what the state holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from backend_demo import metrics
from backend_demo.domain.average import Window
from backend_demo.domain.steps import Average
from backend_demo.domain.topics import AGGREGATED_DATA, AGGREGATION_STATE, DEAD_LETTER, PROCESSED_DATA
from backend_demo.errors import ServiceFailed
from backend_demo.faust_batch.producer import BatchProducer
from backend_demo.faust_batch.transport import Batch
from backend_demo.settings import Settings
from backend_demo.stages import failpoints
from backend_demo.stages.sink import KafkaSink, Sink
from backend_demo.stages.worker import Source, Worker

log = structlog.get_logger(__name__)

FLUSH_INTERVAL_S = 1.0

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Window).decode


class State:
    """The windows' durable copy on the compacted topic `aggregation-state`, and the batches that wait for it."""

    def __init__(self, step: Average, producer: BatchProducer, bootstrap: str) -> None:
        self.step = step
        self._producer = producer
        self._bootstrap = bootstrap
        self._held: list[Batch] = []
        #: Held while windows are ahead of their durable output: no copy may be taken then.
        self.applying = asyncio.Lock()
        self._flushing = asyncio.Lock()

    def hold(self, batch: Batch) -> None:
        """The batch's output is durable; it is acknowledged after the next flush."""
        self._held.append(batch)

    async def flush(self) -> None:
        """Makes the changed windows durable, then acknowledges the batches that are in them."""
        async with self._flushing:
            async with self.applying:
                held, self._held = self._held, []
                messages = {
                    (AGGREGATION_STATE, partition): [
                        (b"%d" % sensor, _encode(self.step.windows[partition][sensor])) for sensor in sensors
                    ]
                    for partition, sensors in self.step.changed.items()
                    if sensors
                }
                for sensors in self.step.changed.values():
                    sensors.clear()
            if messages:
                failpoints.hit("aggregation-before-state")
                await self._producer.send(messages)
                failpoints.hit("aggregation-after-state")
            for batch in held:
                batch.ack()

    async def flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            await self.flush()

    # -- PartitionListener

    async def assigned(self, partitions: Mapping[TP, tuple[int, int]]) -> Mapping[TP, int]:
        """Loads the windows. Raises ServiceFailed when the input was made anew."""
        windows = await self._load([tp.partition for tp in partitions])
        for tp, (_, end) in partitions.items():
            newest = max((window.offset for window in windows[tp.partition].values()), default=-1)
            if newest >= end:
                raise ServiceFailed(
                    f"{tp.topic} partition {tp.partition} ends at {end}, but {newest} was averaged: it was made anew",
                    hint="begin anew with: bdemo down --wipe",
                )
        self.step.restore(windows)
        return {}

    async def revoked(self, partitions: frozenset[TP]) -> None:
        """Flushes; another aggregation may own these windows from now on."""
        await self.flush()

    async def _load(self, partitions: list[int]) -> dict[int, dict[int, Window]]:
        windows: dict[int, dict[int, Window]] = {partition: {} for partition in partitions}
        if not partitions:
            return windows
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap.split(","), enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            targets = [TopicPartition(AGGREGATION_STATE, partition) for partition in partitions]
            consumer.assign(targets)
            ends = await consumer.end_offsets(targets)
            await consumer.seek_to_beginning(*targets)
            while any([await consumer.position(target) < ends[target] for target in targets]):
                for target, records in (await consumer.getmany(timeout_ms=1000)).items():
                    for record in records:
                        keep_newer(windows[target.partition], int(record.key), _decode(record.value))
        finally:
            await consumer.stop()
        return windows


def keep_newer(windows: dict[int, Window], sensor: int, window: Window) -> None:
    """Takes what was read, but for the late words of an aggregation that had lost the partition and not noticed."""
    known = windows.get(sensor)
    if known is None or known.offset <= window.offset:
        windows[sensor] = window


async def run(batches: Source, sink: Sink, state: State) -> None:
    """A batch in, its averages out; the acknowledgement follows the state, once an interval."""
    async with asyncio.TaskGroup() as tasks:
        flushing = tasks.create_task(state.flush_regularly())
        async for batch in batches:
            async with state.applying:
                outcome = state.step(batch.of(PROCESSED_DATA))
                await sink.send(outcome)
                state.hold(batch)
            metrics.values_received.inc(outcome.received)
            metrics.values_aggregated.inc(outcome.received - len(outcome.dead_letters))
            metrics.duplicates.labels("aggregation").inc(outcome.counts["duplicate"])
            metrics.conflicts.labels("aggregation").inc(outcome.counts["conflict"])
            metrics.late_readings.inc(outcome.counts["late"] + outcome.counts["repair"])
            metrics.repairs.labels("aggregation").inc(outcome.counts["repair"])
        flushing.cancel()


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """The service."""
    step = Average(window=settings.aggregation_window, lateness=settings.aggregation_lateness)
    worker = Worker(
        settings,
        "aggregation",
        consumes=(PROCESSED_DATA,),
        produces=(AGGREGATED_DATA, AGGREGATION_STATE, DEAD_LETTER),
        niceness=2,
    )
    state = State(step, worker.producer, settings.kafka_bootstrap)
    worker.listener = state
    sink = KafkaSink(worker.producer, "aggregation", AGGREGATED_DATA)
    await worker.run(lambda batches: run(batches, sink, state), stop)
