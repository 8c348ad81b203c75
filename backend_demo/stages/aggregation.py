"""aggregation: `processed-data` -> `aggregated-data`. Averages of each sensor's last readings, exact whatever happens.

Order of work: output durable, then state durable, then the input acknowledged. So what is acknowledged is in the
state, what is in the state was sent, and a replay skips what the state holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from backend_demo import metrics
from backend_demo.domain.activity import Activity
from backend_demo.domain.average import Window
from backend_demo.domain.steps import Average
from backend_demo.domain.topics import AGGREGATED_DATA, AGGREGATION_STATE, DEAD_LETTER, PARTITIONS, PROCESSED_DATA
from backend_demo.errors import ServiceFailed
from backend_demo.faust_batch.batch import Batch
from backend_demo.faust_batch.producer import BatchProducer, Message
from backend_demo.settings import Settings
from backend_demo.stages import failpoints
from backend_demo.stages.process import end_if_suspended
from backend_demo.stages.sink import KafkaSink, Sink
from backend_demo.stages.worker import Source, Worker

log = structlog.get_logger(__name__)

FLUSH_INTERVAL_S = 1.0
COUNT_INTERVAL_S = 5.0

#: Share of the sensors that is kept when there are too many.
KEPT = 0.9

#: Key of the record that holds the newest time in an evicted window of its partition; all other keys are sensors.
HORIZON = b"horizon"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Window).decode


class State:
    """The windows' durable copy on the compacted topic `aggregation-state`, and the batches that wait for it.

    `sensors`: how many windows a partition may have.
    """

    def __init__(
        self, step: Average, producer: BatchProducer, bootstrap: str, *, sensors: int, activity: Activity
    ) -> None:
        self.step = step
        self._activity = activity
        self._producer = producer
        self._bootstrap = bootstrap
        self._sensors = sensors
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
                    (AGGREGATION_STATE, partition): self._changes(partition) for partition in list(self.step.windows)
                }
                messages = {target: found for target, found in messages.items() if found}
            if messages:
                failpoints.hit("aggregation-before-state")
                end_if_suspended()
                await self._producer.send(messages)
                failpoints.hit("aggregation-after-state")
            for batch in held:
                batch.ack()

    def _changes(self, partition: int) -> list[Message]:
        """What has changed since the last time; too many windows become fewer."""
        step, evicted = self.step, dict[int, int]()
        if len(step.windows[partition]) > self._sensors:
            evicted = step.evict(partition, int(self._sensors * KEPT))
        windows, changed = step.windows[partition], step.changed[partition]
        messages: list[Message] = [(b"%d" % sensor, _encode(windows[sensor])) for sensor in changed]
        self._activity.heard(partition, changed, time.time())
        changed.clear()
        if evicted:
            messages.append((HORIZON, b"%r" % step.horizons[partition]))
            messages += [(b"%d" % sensor, None, [("offset", b"%d" % offset)]) for sensor, offset in evicted.items()]
        return messages

    async def flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            await self.flush()

    async def count_sensors_regularly(self) -> None:
        while True:
            await asyncio.sleep(COUNT_INTERVAL_S)
            active, silent = self._activity.count(time.time())
            metrics.sensors.labels("active").set(active)
            metrics.sensors.labels("silent").set(silent)

    # -- PartitionListener

    async def assigned(self, partitions: Mapping[TP, tuple[int, int]]) -> Mapping[TP, int]:
        """Loads the windows. Raises ServiceFailed when the input was made anew."""
        loaded = await self._load([tp.partition for tp in partitions])
        for tp, (_, end) in partitions.items():
            newest = max((window.offset for window in loaded[tp.partition].windows.values()), default=-1)
            if newest >= end:
                raise ServiceFailed(
                    f"{tp.topic} partition {tp.partition} ends at {end}, but {newest} was averaged: it was made anew",
                    hint="begin anew with: bdemo down --wipe",
                )
        self._activity.restore(
            {
                partition: {sensor: window.times[-1] for sensor, window in found.windows.items() if window.times}
                for partition, found in loaded.items()
            }
        )
        self.step.restore(
            {partition: found.windows for partition, found in loaded.items()},
            {partition: found.horizon for partition, found in loaded.items() if found.horizon is not None},
        )
        return {}

    async def revoked(self, partitions: frozenset[TP]) -> None:
        """Flushes; another aggregation may own these windows from now on."""
        await self.flush()

    async def _load(self, partitions: list[int]) -> dict[int, PartitionState]:
        loaded = {partition: PartitionState() for partition in partitions}
        if not partitions:
            return loaded
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
                        loaded[target.partition].read(record.key, record.value, record.headers)
        finally:
            await consumer.stop()
        return loaded


@dataclass
class PartitionState:
    """What a partition of `aggregation-state` says.

    Of each sensor the newest counts, not the last: an aggregation that had lost the partition and not noticed may have
    written late.
    """

    windows: dict[int, Window] = field(default_factory=dict)
    horizon: float | None = None
    """The newest time in an evicted window."""
    _evicted: dict[int, int] = field(default_factory=dict)

    def read(self, key: bytes, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> None:
        """The next record."""
        if key == HORIZON:
            self.horizon = max(float(value or -1.0), self.horizon or -1.0)
            return
        sensor = int(key)
        known = self.windows.get(sensor)
        if value is None:
            offset = int(dict(headers)["offset"])
            self._evicted[sensor] = max(offset, self._evicted.get(sensor, -1))
            if known is not None and known.offset <= offset:
                del self.windows[sensor]
        else:
            window = _decode(value)
            if window.offset > self._evicted.get(sensor, -1) and (known is None or known.offset <= window.offset):
                self.windows[sensor] = window


async def run(batches: Source, sink: Sink, state: State) -> None:
    """A batch in, its averages out; the acknowledgement follows the state, once an interval."""
    async with asyncio.TaskGroup() as tasks:
        regular = [tasks.create_task(state.flush_regularly()), tasks.create_task(state.count_sensors_regularly())]
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
        for task in regular:
            task.cancel()


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
    sensors = settings.aggregation_sensors // PARTITIONS
    activity = Activity(silent_s=settings.sensor_silent_s)
    state = State(step, worker.producer, settings.kafka_bootstrap, sensors=sensors, activity=activity)
    worker.listener = state
    sink = KafkaSink(worker.producer, "aggregation", AGGREGATED_DATA, worker.tracing)
    await worker.run(lambda batches: run(batches, sink, state), stop)
