"""processing: `src-data` -> `processed-data`. Plausible readings go on as they are."""

from __future__ import annotations

import asyncio

from backend_demo import metrics
from backend_demo.domain.steps import Process
from backend_demo.domain.topics import DEAD_LETTER, PROCESSED_DATA, SRC_DATA
from backend_demo.settings import Settings
from backend_demo.stages.sink import KafkaSink, Sink
from backend_demo.stages.worker import Source, Worker


async def run(step: Process, batches: Source, sink: Sink) -> None:
    """A batch in, its plausible readings and dead letters out, then the acknowledgement."""
    async for batch in batches:
        outcome = step(batch.of(SRC_DATA))
        await sink.send(outcome)
        batch.ack()  # last: a crash above repeats the batch, never loses it
        metrics.values_received.inc(outcome.received)
        metrics.values_processed.inc(outcome.sent)


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """The service."""
    step = Process(value_min=settings.value_min, value_max=settings.value_max)
    worker = Worker(settings, "processing", consumes=(SRC_DATA,), produces=(PROCESSED_DATA, DEAD_LETTER), niceness=3)
    sink = KafkaSink(worker.producer, "processing", PROCESSED_DATA, worker.tracing)
    await worker.run(lambda batches: run(step, batches, sink), stop)
