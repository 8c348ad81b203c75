"""The Faust application around one step: batches in, readiness, lag, a watchdog, a clean end."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from yarl import URL

from backend_demo import metrics, tracing
from backend_demo.domain.topics import PARTITIONS
from backend_demo.errors import PrerequisiteMissing, ServiceFailed
from backend_demo.faust_batch.batch import Batch, BatchSchema, PartitionListener, batches
from backend_demo.faust_batch.producer import METADATA_MAX_AGE_MS, BatchProducer
from backend_demo.faust_batch.transport import Transport
from backend_demo.settings import Settings
from backend_demo.stages.process import end_now, fail, give_way
from backend_demo.stages.progress import Progress

log = structlog.get_logger(__name__)

Source = AsyncIterator[Batch]
"""Batches, one at a time."""

#: Most records in a batch: with a backlog, one poll could return all that was fetched, a hundred MB as objects.
BATCH_RECORDS = 20_000

#: A stack that comes up makes the topics while its services start.
TOPICS_WAIT_S = 20.0


class Worker:
    """One service that consumes topics in batches.

    `niceness`: the later a stage, the lower. When there is too little CPU, rows come out rather than records pile up
    between the stages: with a backlog, the pipeline ends 20 to 30 % sooner.
    """

    def __init__(
        self,
        settings: Settings,
        service: str,
        *,
        consumes: tuple[str, ...],
        produces: tuple[str, ...],
        paced: bool = False,
        niceness: int = 0,
    ) -> None:
        self.settings = settings
        self.service = service
        self.progress = Progress(service)
        self.tracing = tracing.of(settings, service)
        self.producer = BatchProducer(settings.kafka_bootstrap, client_id=f"bdemo-{service}")
        self._consumes = consumes
        self._produces = produces
        self.listener: PartitionListener | None = None
        self._paced = paced
        self._niceness = niceness

    async def run(self, body: Callable[[Source], Awaitable[None]], stop: asyncio.Event) -> None:
        """Feeds `body` until `stop` is set; a failure of `body` ends the process with 1.

        Raises PrerequisiteMissing; ServiceFailed when Kafka goes away while Faust starts, which cannot begin again.
        """
        give_way(self._niceness)
        await self.producer.start()
        await check_topics(self.producer, (*self._consumes, *self._produces))
        app = self._app(body)
        log.info("starting")
        try:
            await app.start()
        except KafkaError as problem:
            raise ServiceFailed(
                f"Kafka went away while {self.service} started: {problem}",
                hint="the stack starts it again; without a stack, start it again when Kafka is back",
            ) from problem
        try:
            await self._watch(app, stop)
        finally:
            metrics.service_ready.labels(self.service).set(0)
            await app.consumer.settle()
            await app.stop()
            await self.producer.stop()
            await asyncio.to_thread(self.tracing.close)
        log.info("stopped")

    def _app(self, body: Callable[[Source], Awaitable[None]]) -> faust.App:
        settings = self.settings
        group = f"{settings.consumer_group_prefix}{self.service}"
        folder = settings.state_dir / "faust"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        servers = [URL(f"kafka://{server.strip()}") for server in settings.kafka_bootstrap.split(",")]
        app = faust.App(
            group,
            broker=servers,
            datadir=str(folder / self.service),
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_wait_empty=False,
            stream_buffer_maxsize=4,
            consumer_auto_offset_reset="earliest",
            consumer_group_instance_id=f"{group}-{settings.instance}" if settings.instance else None,
            broker_session_timeout=10,
            broker_heartbeat_interval=3,
            broker_request_timeout=30,
            consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
            broker_commit_interval=0.5,
            broker_max_poll_records=BATCH_RECORDS,
            # a consumer that leaves the group because it cannot go on never comes back; the watchdog is for those
            broker_max_poll_interval=365 * 86_400,
            producer_acks=-1,
            loghandlers=list(logging.getLogger().handlers),
        )
        app.transport = Transport(servers, app, listener=self.listener, paced=self._paced)

        @app.agent(app.topic(*self._consumes, schema=BatchSchema()), name=self.service)
        async def agent(stream: Any) -> None:
            # Faust acknowledges what an agent was at when it fails, and restarts it with the next: nothing may escape
            try:
                await body(self._counted(batches(stream)))
            except asyncio.CancelledError:
                raise
            except Exception:  # noqa: BLE001 - the outermost frame of ours in Faust's task
                fail()

        return app

    async def _counted(self, source: Source) -> Source:
        seconds, count = metrics.batch_seconds.labels(self.service), metrics.batches.labels(self.service)
        topics = " and ".join(self._consumes)
        async for batch in source:
            begin = time.monotonic()
            with self.tracing.batch(f"process {topics}", sum(map(len, batch.records.values())), batch.records):
                yield batch
            seconds.observe(time.monotonic() - begin)
            count.inc()
            self.handled(batch)

    def handled(self, batch: Batch) -> None:
        """The body has asked for the next batch: the outcome of this one is durable."""
        self.progress.done(batch.records, time.time())

    async def _watch(self, app: Any, stop: asyncio.Event) -> None:
        """Readiness, lag and the watchdog, until `stop`."""
        ready = metrics.service_ready.labels(self.service)
        progress_at, acknowledged = time.monotonic(), 0
        stuck_since: float | None = None
        was_ready = False
        while not stop.is_set():
            if app.crashed or app.should_stop:
                log.error("Faust ended", reason=repr(app.crash_reason))
                end_now(1)
            consumer = app.consumer
            is_ready = bool(consumer.flow_active and not app.rebalancing and app.tables.recovery.completed.is_set())
            ready.set(is_ready)
            if is_ready and not was_ready:
                log.info("ready", partitions=len(consumer.assignment()))
            was_ready = is_ready
            ends = consumer.ends()
            self.progress.measure(ends, time.time(), under_way=consumer.offsets.under_way)
            behind = sum(max(0, end - position) for position, end in ends.values())
            now = time.monotonic()
            if consumer.offsets.acknowledged != acknowledged:
                progress_at, acknowledged = now, consumer.offsets.acknowledged
            idle = is_ready and not behind and not consumer.offsets.under_way
            if idle or now - progress_at < self.settings.watchdog_s:
                stuck_since = None
            elif not await reachable(self.settings.kafka_bootstrap) or not await self.dependencies_up():
                stuck_since = now
            elif now - (stuck_since := stuck_since or now) > self.settings.watchdog_s:
                seconds = round(now - progress_at)
                log.error("no progress", lag=behind, ready=is_ready, seconds=seconds)
                faulthandler.dump_traceback()
                end_now(1)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0 if is_ready else 0.1)

    async def dependencies_up(self) -> bool:
        """Whether what this service needs besides Kafka answers; without it, no progress is no fault of ours."""
        return True


async def check_topics(producer: BatchProducer, topics: tuple[str, ...]) -> None:
    """Waits for the topics for a while. Raises PrerequisiteMissing when one is missing or has other partitions."""
    deadline = time.monotonic() + TOPICS_WAIT_S
    while True:
        try:
            found = {topic: await producer.partitions(topic) for topic in topics}
        except KafkaError:
            found = {}
        wrong = [topic for topic in topics if found.get(topic) != PARTITIONS]
        if not wrong:
            return
        if time.monotonic() > deadline:
            raise PrerequisiteMissing(
                f"topic {wrong[0]} has {found.get(wrong[0], 0)} partitions, the pipeline needs {PARTITIONS}",
                hint="make the topics with: bdemo migrate",
            )
        await asyncio.sleep(0.2)


async def reachable(bootstrap: str) -> bool:
    """Whether something listens where Kafka should, at one of the brokers at least."""
    for server in bootstrap.split(","):
        host, _, port = server.strip().rpartition(":")
        with suppress(OSError, TimeoutError):
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 2.0)
            writer.close()
            return True
    return False
