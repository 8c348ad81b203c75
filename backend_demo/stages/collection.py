"""collection: `sensor-data` -> `src-data`. MQTT payloads become readings, keyed by sensor."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from backend_demo import metrics
from backend_demo.domain.steps import Collect
from backend_demo.domain.topics import DEAD_LETTER, PARTITIONS, SENSOR_DATA, SENSOR_NAMES, SRC_DATA
from backend_demo.faust_batch.producer import partition_of
from backend_demo.settings import Settings
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.sink import KafkaSink, Sink
from backend_demo.stages.runtime.worker import Source, Worker


async def run(step: Collect, batches: Source, sink: Sink) -> None:
    """Handles batches until there are no more.

    1. Decide what becomes of the batch's records.
    2. Send the readings, the dead letters and the names that are new; returns when Kafka has acknowledged them.
    3. Acknowledge the batch. This comes last: a crash before it repeats the batch and never loses it.
    """
    async for batch in batches:
        outcome = step(batch.of(SENSOR_DATA), time.time())  # 1
        await sink.send(outcome)  # 2
        batch.ack()  # 3
        metrics.values_received.inc(outcome.received)
        metrics.values_collected.inc(outcome.sent)


async def main(settings: Settings, process: ServiceProcess, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set."""
    step = Collect(
        partial(partition_of, partitions=PARTITIONS),
        future_tolerance_s=settings.future_tolerance_s,
        earliest=settings.earliest,
        mappings=[mapping.compiled() for mapping in settings.mapping],
    )
    worker = Worker(
        settings,
        process,
        "collection",
        consumes=(SENSOR_DATA,),
        produces=(SRC_DATA, SENSOR_NAMES, DEAD_LETTER),
        paced=True,
        niceness=4,
    )
    sink = KafkaSink(worker.producer, "collection", SRC_DATA, process, worker.tracing)
    await worker.run(lambda batches: run(step, batches, sink), stop)
