"""The Faust application around one step: batches in, readiness, lag, a watchdog, a clean end."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from yarl import URL

from backend_demo import metrics
from backend_demo import telemetry as tracing
from backend_demo.adapters.kafka import Brokers, faust_credentials
from backend_demo.domain.topics import PARTITIONS
from backend_demo.domain.watchdog import Watchdog
from backend_demo.errors import PrerequisiteMissing, ServiceFailed
from backend_demo.faust_batch.batch import Batch, BatchSchema, PartitionListener, batches
from backend_demo.faust_batch.producer import METADATA_MAX_AGE_MS, BatchProducer
from backend_demo.faust_batch.transport import Transport
from backend_demo.settings import Settings
from backend_demo.stages.runtime.process import ServiceProcess, give_way
from backend_demo.stages.runtime.progress import Progress
from backend_demo.text import host_and_port

log = structlog.get_logger(__name__)

Source = AsyncIterator[Batch]
"""Batches, one at a time."""

Body = Callable[[Source], Awaitable[None]]
"""A stage's loop over its batches."""

#: Most records in a batch: with a backlog, one poll could return all that was fetched, a hundred MB as objects.
BATCH_RECORDS = 20_000

#: How long a service waits for its topics, seconds: when a stack comes up, they are created while its services start.
TOPICS_WAIT_S = 20.0

#: Between two looks at the topics' ids, seconds.
TOPICS_LOOK_S = 5.0

#: Between two attempts to get all partitions by joining the group again, seconds.
REJOIN_S = 10.0


class Worker:
    """One service that consumes topics in batches.

    `paced`: the transport's pacing. `niceness`: the later a stage, the lower. When CPU is short, rows come out rather
    than records pile up between the stages: with a backlog, the pipeline ends 20 to 30 % sooner.
    """

    def __init__(
        self,
        settings: Settings,
        process: ServiceProcess,
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
        self._brokers = Brokers.of(settings)
        self.producer = BatchProducer(**self._brokers.connection(), client_id=f"bdemo-{service}")
        self._process = process
        self._consumes = consumes
        self._produces = produces
        self._paced = paced
        self._niceness = niceness

    async def run(
        self,
        body: Body,
        stop: asyncio.Event,
        *,
        listener: PartitionListener | None = None,
        done: Callable[[Batch], None] | None = None,
        dependencies_up: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Feeds `body` until `stop` is set; a failure of `body` ends the process with 1.

        `listener`: notified when partitions come and go. `done`: called when `body` asks for the next batch; without
        it, the outcome of the batch counts as durable then. `dependencies_up`: whether the servers besides Kafka
        answer; while one is away, missing progress is not the service's fault.

        Raises PrerequisiteMissing; ServiceFailed when Kafka goes away while Faust starts, which cannot be retried.
        """
        give_way(self._niceness)
        await self.producer.start()
        await check_topics(self.producer, (*self._consumes, *self._produces))
        app = self._app(body, listener, done or self._count_done)
        log.info("starting")
        self._process.owns_nothing_yet()
        try:
            await app.start()
        except KafkaError as problem:
            raise ServiceFailed(
                f"Kafka went away while {self.service} started: {problem}",
                hint="the stack starts it again; without a stack, start it again when Kafka is back",
            ) from problem
        watch = asyncio.create_task(self._end_when_topics_are_replaced(app))
        try:
            await self._watch(app, stop, dependencies_up)
        finally:
            watch.cancel()
            for gauge in (metrics.service_ready, metrics.service_rebalancing):
                gauge.labels(self.service).set_function(lambda: 0.0)
            await app.consumer.settle()
            await app.stop()
            await self.producer.stop()
            await asyncio.to_thread(self.tracing.close)
        log.info("stopped")

    async def _end_when_topics_are_replaced(self, app: Any) -> None:
        """Ends the process when what it holds in memory, offsets and windows, is of a topic that is gone."""
        replaced = await replaced_topics(self.producer, self._produces, lambda: app.consumer.topic_ids)
        log.error("topics were deleted and created again: the service starts again", topics=replaced)
        self._process.end_now(1)

    def _app(self, body: Body, listener: PartitionListener | None, done: Callable[[Batch], None]) -> faust.App:
        settings = self.settings
        group = f"{settings.consumer_group_prefix}{self.service}"
        folder = settings.state_dir / "faust"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        servers = [URL(f"kafka://{server.strip()}") for server in settings.kafka_bootstrap.split(",")]
        app = faust.App(
            group,
            env={},  # else settings of the same names in the environment win over these
            broker=servers,
            broker_credentials=faust_credentials(self._brokers),
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
            # a consumer that leaves the group because it is stuck never comes back; the watchdog handles those
            broker_max_poll_interval=365 * 86_400,
            producer_acks=-1,
            loghandlers=list(logging.getLogger().handlers),
        )
        app.transport = Transport(servers, app, listener=listener, paced=self._paced)

        @app.agent(app.topic(*self._consumes, schema=BatchSchema()), name=self.service)
        async def agent(stream: Any) -> None:
            # When an agent fails, Faust acknowledges its batch and restarts it with the next: nothing may escape
            try:
                await body(self._counted(batches(stream), done))
            except asyncio.CancelledError:
                raise
            except Exception:  # noqa: BLE001 - the outermost frame of ours in Faust's task
                self._process.fail()

        return app

    async def _counted(self, source: Source, done: Callable[[Batch], None]) -> Source:
        seconds, count = metrics.batch_seconds.labels(self.service), metrics.batches.labels(self.service)
        topics = " and ".join(self._consumes)
        async for batch in source:
            begin = time.monotonic()
            with self.tracing.batch(f"process {topics}", sum(map(len, batch.records.values())), batch.records):
                yield batch
            seconds.observe(time.monotonic() - begin)
            count.inc()
            done(batch)

    def _count_done(self, batch: Batch) -> None:
        self.progress.done(batch.records, time.time())

    async def _watch(
        self, app: Any, stop: asyncio.Event, dependencies_up: Callable[[], Awaitable[bool]] | None
    ) -> None:
        """Reports readiness and lag, and ends a process that is stuck, until `stop` is set."""
        has_been_ready = False

        def ready() -> bool:
            consumer = app.consumer
            settled = consumer.flow_active and not app.rebalancing and app.tables.recovery.completed.is_set()
            return bool(settled and not consumer.misses_partitions())

        # computed when they are read: one that has just lost its partitions must not pass for ready until the next look
        metrics.service_ready.labels(self.service).set_function(lambda: float(ready()))
        metrics.service_rebalancing.labels(self.service).set_function(lambda: float(has_been_ready and not ready()))
        limit_s = self.settings.watchdog_s
        watchdog = Watchdog(limit_s, time.monotonic(), patience_s=limit_s)
        was_ready = False
        rejoin_after = time.monotonic() + REJOIN_S
        while not stop.is_set():
            if app.crashed or app.should_stop:
                log.error("Faust ended", reason=repr(app.crash_reason))
                self._process.end_now(1)
            consumer = app.consumer
            is_ready = ready()
            has_been_ready = has_been_ready or is_ready
            if is_ready and not was_ready:
                log.info("ready", partitions=len(consumer.assignment()))
            was_ready = is_ready
            if consumer.misses_partitions() and time.monotonic() > rejoin_after:
                # also after a restart Kafka gives a member what it had before: perhaps of a topic that was missing
                log.warning("partitions of a topic are missing: joining the group again")
                consumer.rejoin()
                rejoin_after = time.monotonic() + REJOIN_S
            ends = consumer.ends()
            self.progress.measure(ends, time.time(), under_way=consumer.offsets.under_way)
            behind = sum(max(0, end - position) for position, end in ends.values())
            idle = is_ready and not behind and not consumer.offsets.under_way
            now = time.monotonic()
            if watchdog.suspects(now, done=consumer.offsets.acknowledged, idle=idle):
                up = await reachable(self.settings.kafka_bootstrap) and (
                    dependencies_up is None or await dependencies_up()
                )
                if watchdog.is_stuck(now, reachable=up):
                    seconds = round(watchdog.seconds_without_progress(now))
                    log.error("no progress", lag=behind, ready=is_ready, seconds=seconds)
                    faulthandler.dump_traceback()
                    self._process.end_now(1)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0 if is_ready else 0.1)


async def replaced_topics(
    producer: BatchProducer, topics: Collection[str], assigned: Callable[[], Mapping[str, str]]
) -> list[str]:
    """Returns once topics have been deleted and created again, with their names; never where Kafka has no ids.

    `assigned`: the ids of the topics of which partitions are assigned, as of the assignment. A later one would know.
    """
    ids: dict[str, str] = {}
    while True:
        with suppress(KafkaError, OSError):
            before = assigned()
            now = await producer.topic_ids({*topics, *before})
            ids = {**{topic: found for topic, found in now.items() if topic in topics}, **ids, **before}
            replaced = [
                topic for topic, found in now.items() if ids.get(topic, found) != found != assigned().get(topic)
            ]
            if replaced:
                return replaced
        await asyncio.sleep(TOPICS_LOOK_S)


async def check_topics(producer: BatchProducer, topics: tuple[str, ...]) -> None:
    """Waits up to TOPICS_WAIT_S. Raises PrerequisiteMissing when a topic is missing or has another partition count."""
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
                hint="create the topics with: bdemo migrate",
            )
        await asyncio.sleep(0.2)


async def reachable(bootstrap: str) -> bool:
    """Whether at least one of the brokers accepts connections."""
    for server in bootstrap.split(","):
        with suppress(OSError, TimeoutError):
            _, writer = await asyncio.wait_for(asyncio.open_connection(*host_and_port(server)), 2.0)
            writer.close()
            return True
    return False
