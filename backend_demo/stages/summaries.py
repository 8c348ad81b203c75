"""Summarises whole hours behind the loader, on a connection of its own: nothing that is committed waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog

from backend_demo import metrics
from backend_demo.adapters.postgres import FAILURES
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.storage import hours
from backend_demo.storage.session import Session

log = structlog.get_logger(__name__)

#: Time between two looks at the list of stale hours, seconds.
INTERVAL_S = 10.0

#: After each hour, PostgreSQL has this many times as long for the pipeline alone as the hour took.
REST = 3.0


@asynccontextmanager
async def summarising(dsn: str, process: ServiceProcess) -> AsyncIterator[None]:
    """Summarises hours that have settled while the block runs. A bug in it ends the process, as anywhere else."""
    task = asyncio.create_task(_run(dsn, process))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _run(dsn: str, process: ServiceProcess) -> None:
    session = Session(dsn)
    try:
        while True:
            try:
                await _pass(session)
            except FAILURES as problem:  # tried again: no reading depends on it, and what is stale is known to be
                log.error("hours are not summarised", problem=type(problem).__name__, detail=str(problem)[:200])
            await asyncio.sleep(INTERVAL_S)
    except Exception:  # noqa: BLE001 - the outermost frame of this task
        process.fail()
    finally:
        session.close()


async def _pass(session: Session) -> None:
    await session.run(hours.merge)
    while found := await session.run(lambda connection: hours.quiet(connection, time.time() - hours.CLOSED_S)):
        for series, hour in found:
            begin = time.monotonic()
            done = await session.run(partial(hours.summarise, series=series, hour=hour))
            if done is None:
                return  # another loader is at it
            metrics.hours_summarised.labels(series).inc(done)
            await asyncio.sleep(REST * (time.monotonic() - begin))
