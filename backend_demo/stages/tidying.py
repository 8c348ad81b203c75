"""Works behind the loader, on a connection of its own: summarises whole hours, and drops what is no longer kept.

No reading waits for it, but for an instant a day: when the time moves from which on readings are kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog

from backend_demo import metrics
from backend_demo.adapters.postgres import FAILURES
from backend_demo.settings import Settings
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.storage import hours, retention
from backend_demo.storage.session import Session

log = structlog.get_logger(__name__)

#: Time between two looks at the list of stale hours, seconds.
INTERVAL_S = 10.0

#: After each hour, PostgreSQL has this many times as long for the pipeline alone as the hour took.
REST = 3.0


@asynccontextmanager
async def tidying(settings: Settings, process: ServiceProcess) -> AsyncIterator[None]:
    """Works while the block runs. A bug ends the process, as anywhere else."""
    task = asyncio.create_task(_run(settings, process))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _run(settings: Settings, process: ServiceProcess) -> None:
    session = Session(settings.postgres_dsn)
    try:
        while True:
            try:
                await _summarise(session)
                if settings.retention:
                    await _drop(session, settings.aggregation_window)
            except FAILURES as problem:  # tried again: no reading depends on it, and what is stale is known to be
                log.error("tidying failed", problem=type(problem).__name__, detail=str(problem)[:200])
            await asyncio.sleep(INTERVAL_S)
    except Exception:  # noqa: BLE001 - the outermost frame of this task
        process.fail()
    finally:
        session.close()


async def _summarise(session: Session) -> None:
    await session.run(hours.merge)
    while found := await session.run(lambda connection: hours.quiet(connection, time.time() - hours.CLOSED_S)):
        for series, hour in found:
            begin = time.monotonic()
            done = await session.run(partial(hours.summarise, series=series, hour=hour))
            if done is None:
                return  # another loader is at it
            metrics.hours_summarised.labels(series).inc(done)
            await asyncio.sleep(REST * (time.monotonic() - begin))


async def _drop(session: Session, window: int) -> None:
    kept_from = await session.run(retention.advance)
    begin = time.monotonic()
    while (dropped := await session.run(partial(retention.drop_day, window=window))) is not None:
        if dropped:
            log.info("a day was dropped", readings=dropped, kept_from=kept_from)
        await asyncio.sleep(REST * (time.monotonic() - begin))
        begin = time.monotonic()
