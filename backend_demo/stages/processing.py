"""processing: `src-data` -> `processed-data`. Plausible readings go on as they are."""

from __future__ import annotations

import asyncio

from backend_demo import metrics
from backend_demo.domain.steps import Process
from backend_demo.domain.topics import DEAD_LETTER, PROCESSED_DATA, SRC_DATA
from backend_demo.settings import Settings
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.sink import KafkaSink, Sink
from backend_demo.stages.runtime.worker import Source, Worker


async def run(step: Process, batches: Source, sink: Sink) -> None:
    """Handles batches until there are no more.

    1. Decide what becomes of the batch's records.
    2. Send the plausible readings and the dead letters; returns when Kafka has acknowledged them.
    3. Acknowledge the batch. This comes last: a crash before it repeats the batch and never loses it.
    """
    async for batch in batches:
        outcome = step(batch.of(SRC_DATA))  # 1
        await sink.send(outcome)  # 2
        batch.ack()  # 3
        metrics.values_received.inc(outcome.received)
        metrics.values_processed.inc(outcome.sent)


async def main(settings: Settings, process: ServiceProcess, stop: asyncio.Event) -> None:
    """Runs the service until `stop` is set."""
    step = Process(value_min=settings.value_min, value_max=settings.value_max)
    worker = Worker(
        settings, process, "processing", consumes=(SRC_DATA,), produces=(PROCESSED_DATA, DEAD_LETTER), niceness=3
    )
    sink = KafkaSink(worker.producer, "processing", PROCESSED_DATA, process, worker.tracing)
    await worker.run(lambda batches: run(step, batches, sink), stop)
