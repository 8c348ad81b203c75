"""Drain: measures how fast a pipeline moves a full raw topic into both tables."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from backend_demo.adapters.kafka import Brokers
from backend_demo.errors import ServiceFailed, TimedOut
from backend_demo.faust_batch.producer import BatchProducer
from backend_demo.operations.bench import readings
from backend_demo.operations.bench.costs import CostSampler
from backend_demo.operations.bench.figures import Cost
from backend_demo.operations.bench.pipeline import STAGES, Pipeline, StoredRows, connected, frozen, prove
from backend_demo.operations.bench.readings import Block, DrainLoad
from backend_demo.operations.notify import Notify

#: Readings of the warm-up.
WARM_UP = 1000
#: Longest time to the first rows of a pipeline that has just started, seconds.
WARM_UP_STALL_S = 60.0
#: Pause after the warm-up, seconds: offsets are committed, states are flushed, nothing moves.
SETTLE_S = 1.5
#: Longest time that services are frozen, seconds: Kafka drops a service after 10 s of silence.
FROZEN_MAX_S = 8.0


@dataclass(frozen=True)
class DrainRun:
    """One drain, from the release of the pipeline to the commit of the last row."""

    readings: int
    """Stored in both tables; refused ones come on top."""
    seconds: float
    readings_per_s: float
    first_row_s: float
    frozen_s: float
    """How long the pipeline was frozen before."""
    others_cores: float
    costs: tuple[Cost, ...]

    @property
    def cpu_us_per_reading(self) -> float:
        """CPU time of all stages together, microseconds per reading."""
        return round(1000 * sum(cost.cpu_s_per_1000 for cost in self.costs if cost.service in STAGES), 2)


async def drain(pipeline: Pipeline, load: DrainLoad, first_sensor: int, notify: Notify) -> DrainRun:
    """Fills the raw topic of a warm, frozen pipeline, releases it and measures the time; deletes its rows.

    Raises VerificationFailed when a row or an average is wrong (the rows stay), ServiceFailed, TimedOut.
    """
    sensors = range(first_sensor, first_sensor + load.sensors)
    now_us = int(time.time() * 1_000_000)
    block = readings.block(load, first_sensor, now_us)
    early = now_us - load.readings * readings.STEP_US
    first = readings.block(DrainLoad(readings=WARM_UP, sensors=load.sensors), first_sensor, early)
    producer = BatchProducer(**Brokers.of(pipeline.settings).connection(), client_id="bdemo-bench")
    await producer.start()
    try:
        async with connected(pipeline) as connection:
            await warm_up(pipeline, producer, StoredRows(connection, pipeline.moved, sensors, 0.0), first)
            rows = StoredRows(connection, pipeline.moved, sensors, block.first)
            run = await _run(pipeline, producer, rows, block)
            await prove(pipeline, [*first.entries, *block.entries], block.refused, notify)
            await rows.delete(shared=pipeline.shared)
    finally:
        await producer.stop()
    return run


async def warm_up(pipeline: Pipeline, producer: BatchProducer, rows: StoredRows, block: Block) -> None:
    """Sends the first readings and waits until they are in the tables. Raises TimedOut."""
    await producer.send(readings.by_partition(pipeline.raw, block.messages))
    arrived = await rows.wait_for(block.stored, stall_s=WARM_UP_STALL_S)
    if arrived < block.stored:
        raise TimedOut(
            f"{pipeline.name}: {arrived:,} of the first {block.stored:,} readings arrived", hint="see: bdemo logs"
        )
    await asyncio.sleep(SETTLE_S)


async def _run(pipeline: Pipeline, producer: BatchProducer, rows: StoredRows, block: Block) -> DrainRun:
    messages = readings.by_partition(pipeline.raw, block.messages)
    with CostSampler(pipeline.pids) as sampler:
        began = time.monotonic()
        with frozen(pipeline.stages.values()):
            await producer.send(messages)
            await asyncio.sleep(0.3)
            frozen_s = time.monotonic() - began
            go = time.time()
        if frozen_s > FROZEN_MAX_S:
            raise ServiceFailed(
                f"the services were frozen for {frozen_s:.1f} s while readings were written, which is too long",
                hint="use fewer --readings, or try again when the machine is less busy",
            )
        await rows.wait_for(block.stored)
    first, last = await rows.commits()
    return DrainRun(
        readings=block.stored,
        seconds=round(last - go, 3),
        readings_per_s=round(block.stored / (last - go), 1),
        first_row_s=round(first - go, 3),
        frozen_s=round(frozen_s, 2),
        others_cores=sampler.others_cores(go, last),
        costs=sampler.costs(go, last, block.stored),
    )
