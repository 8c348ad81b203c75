"""Latency: measures how long readings take from Kafka to their committed rows, at a given rate."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from aiokafka.errors import KafkaError

from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.verdict import Entry
from backend_demo.errors import ServiceFailed
from backend_demo.faust_batch.producer import BatchProducer
from backend_demo.operations.bench import readings
from backend_demo.operations.bench.costs import CostSampler
from backend_demo.operations.bench.drain import WARM_UP, warm_up
from backend_demo.operations.bench.figures import Cost, Spread, spread
from backend_demo.operations.bench.pipeline import STAGES, Pipeline, StoredRows, connected, prove
from backend_demo.operations.bench.readings import DrainLoad
from backend_demo.operations.notify import Notify

SENSORS = 100
#: Start of a run that does not count, seconds.
LEFT_OUT_S = 2.0
#: Highest rate, readings per second.
RATE_MAX = 10_000.0


@dataclass(frozen=True)
class LatencyRun:
    """One run at one rate."""

    per_second: float
    readings: int
    temperature: Spread
    average: Spread
    cores: float
    """Cores that all stages used together."""
    producer_late_ms: float
    """The most that the producer fell behind its own clock."""
    others_cores: float
    costs: tuple[Cost, ...]


async def latency(
    pipeline: Pipeline, per_second: float, seconds: float, first_sensor: int, notify: Notify
) -> LatencyRun:
    """Produces readings at a steady rate, whatever the pipeline does, each with the time it was produced.

    Raises VerificationFailed when a row or an average is wrong (the rows stay), ServiceFailed, TimedOut.
    """
    sensors = range(first_sensor, first_sensor + SENSORS)
    first = readings.block(DrainLoad(readings=WARM_UP, sensors=SENSORS), first_sensor, int(time.time() * 1_000_000))
    batches = BatchProducer(**Brokers.of(pipeline.settings).connection(), client_id="bdemo-bench")
    await batches.start()
    async with connected(pipeline) as connection:
        try:
            await warm_up(pipeline, batches, StoredRows(connection, pipeline.moved, sensors, 0.0), first)
        finally:
            await batches.stop()
        with CostSampler(pipeline.pids) as sampler:
            begin = time.time()
            entries, late_s = await _produce(pipeline, per_second, seconds, sensors)
            end = time.time()
            await StoredRows(connection, pipeline.moved, sensors, begin).wait_for(len(entries))
        counted = StoredRows(connection, pipeline.moved, sensors, begin + min(LEFT_OUT_S, seconds / 4))
        temperature, average = await counted.delays("temperature"), await counted.delays("average")
        await prove(pipeline, [*first.entries, *entries], 0, notify)
        await counted.delete(shared=pipeline.shared)
    costs = sampler.costs(begin, end, len(entries))
    return LatencyRun(
        per_second=per_second,
        readings=len(entries),
        temperature=spread(temperature),
        average=spread(average),
        cores=round(sum(cost.cores for cost in costs if cost.service in STAGES), 3),
        producer_late_ms=round(1000 * late_s, 1),
        others_cores=sampler.others_cores(begin, end),
        costs=costs,
    )


async def _produce(pipeline: Pipeline, per_second: float, seconds: float, sensors: range) -> tuple[list[Entry], float]:
    """Produces the readings. Returns those acknowledged, and the most that one of them was late, seconds."""
    rng = random.Random(sensors[0])  # noqa: S311 - no secret
    producer = kafka.producer(Brokers.of(pipeline.settings), "bdemo-bench")
    entries: list[Entry] = []
    sent: list[asyncio.Future[object]] = []
    newest_us, late_s = 0, 0.0
    try:
        await producer.start()
        await producer.partitions_for(pipeline.raw)
        with _preferred():
            begin = time.monotonic() + 0.1
            for number in range(max(1, int(per_second * seconds))):
                due = begin + number / per_second
                if (wait_s := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                late_s = max(late_s, time.monotonic() - due)
                sensor, value = rng.choice(sensors), round(rng.uniform(20, 30), 2)
                newest_us = max(int(time.time() * 1_000_000), newest_us + 1)
                key, partition = readings.place_of(sensor)
                payload = readings.payload(newest_us, value)
                sent.append(await producer.send(pipeline.raw, payload, key=key, partition=partition))
                entries.append(Entry(sensor, newest_us / 1_000_000, value, "acked"))
        await asyncio.wait_for(asyncio.gather(*sent), 30)
    except (KafkaError, OSError) as problem:
        raise ServiceFailed(f"Kafka does not accept readings: {problem!r}", hint="see: bdemo logs kafka") from problem
    finally:
        await producer.stop()
    return entries, late_s


@contextlib.contextmanager
def _preferred() -> Iterator[None]:
    """Raises this process's priority, where that is allowed, so that its readings are in time."""
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness - 10)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
