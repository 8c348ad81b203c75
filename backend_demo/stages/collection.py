"""collection: `sensor-data` -> `src-data`. MQTT payloads become readings, keyed by sensor."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from backend_demo import metrics
from backend_demo.domain.steps import Collect
from backend_demo.domain.topics import DEAD_LETTER, PARTITIONS, SENSOR_DATA, SRC_DATA
from backend_demo.faust_batch.producer import partition_of
from backend_demo.settings import Settings
from backend_demo.stages.sink import KafkaSink, Sink
from backend_demo.stages.worker import Source, Worker


async def run(step: Collect, batches: Source, sink: Sink) -> None:
    """A batch in, its readings and dead letters out, then the acknowledgement."""
    async for batch in batches:
        outcome = step(batch.of(SENSOR_DATA), time.time())
        await sink.send(outcome)
        batch.ack()  # last: a crash above repeats the batch, never loses it
        metrics.values_received.inc(outcome.received)
        metrics.values_collected.inc(outcome.sent)


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """The service."""
    step = Collect(partial(partition_of, partitions=PARTITIONS), future_tolerance_s=settings.future_tolerance_s)
    worker = Worker(
        settings, "collection", consumes=(SENSOR_DATA,), produces=(SRC_DATA, DEAD_LETTER), paced=True, niceness=4
    )
    sink = KafkaSink(worker.producer, "collection", SRC_DATA, worker.tracing)
    await worker.run(lambda batches: run(step, batches, sink), stop)
