"""Follows one reading from MQTT to REST, and reports each hop as it is found."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from backend_demo.adapters.kafka import Brokers
from backend_demo.adapters.mqtt import Broker
from backend_demo.domain.reading import UNREADABLE
from backend_demo.domain.topics import AGGREGATED_DATA, PROCESSED_DATA, mqtt_topic
from backend_demo.errors import BdemoError, ServiceFailed, TimedOut, VerificationFailed
from backend_demo.http_client import httpx
from backend_demo.operations.kafka_log import KafkaLog, partitions_of
from backend_demo.operations.notify import Notify
from backend_demo.operations.trace.mark import Mark, payload, places_of
from backend_demo.operations.trace.mqtt import Connection, connected
from backend_demo.operations.trace.path import ACKNOWLEDGED, PUBLISHED, ROUTES, SEEN, TABLES, Location, Path, Trace
from backend_demo.settings import Settings
from backend_demo.storage.latest import latest
from backend_demo.storage.pool import Database, DatabaseUnavailable

#: Wait for the record of `aggregated-data` when all else is there, seconds: a repeated reading has none, and a new one
#: has it before its average.
REPEATED_S = 1.0
REST_TIMEOUT_S = 5.0

_ROWS = " union all ".join(
    f"select '{table}', value, extract(epoch from pg_xact_commit_timestamp(xmin))::float8 "  # noqa: S608 - own names
    f"from {table} where sensor_num = $1 and timestamp = $2"
    for table in TABLES
)


class _Row(msgspec.Struct):
    """The part of a row of the gateway's answer that counts here."""

    value: float


# the original's routes write every number as a string
_decode_rows = msgspec.json.Decoder(list[_Row], strict=False).decode

HopReport = Callable[[Trace], None]


async def trace(
    settings: Settings,
    sensor: int,
    *,
    value: float | None = None,
    follow: bool = False,
    rest: bool = True,
    timeout_s: float,
    transport: httpx.AsyncBaseTransport | None = None,
    report: HopReport = lambda trace: None,
    notify: Notify = lambda text: None,
) -> Trace:
    """Publishes a reading, or with `follow` waits for the sensor's next one, and follows it as far as it comes.

    The reading is a real one, newer than all others of the sensor; without a `value` it repeats the sensor's newest
    one. `rest`: a gateway is there. `timeout_s` bounds the wait for the next reading, and the reading's way.
    `transport` replaces the network on the way to the gateway.
    `report` receives each state of the trace; the last one is returned, and `problem` says what is wrong with it.

    The MQTT user of `settings` must be one that may publish, or with `follow` one that may subscribe.
    Raises ServiceFailed; UnknownName when a topic is missing; TimedOut when the sensor publishes nothing.
    """
    topics = (mqtt_topic(sensor), mqtt_topic(sensor, original=True)) if follow else (mqtt_topic(sensor),)
    brokers = Brokers.of(settings)
    partitions = places_of(await partitions_of(brokers), sensor, topics)
    async with (
        Database(settings.postgres_dsn, application="bdemo trace") as database,
        KafkaLog(brokers, partitions, patience_s=timeout_s, notify=notify) as log,
        httpx.AsyncClient(
            base_url=settings.gateway_url,
            headers={"Authorization": f"Bearer {settings.gateway_token}"} if settings.gateway_token else None,
            timeout=REST_TIMEOUT_S,
            transport=transport,
            trust_env=False,
        ) as gateway,
    ):
        newest = await database.read(lambda connection: _newest(connection, sensor))
        if rest:
            await _warm_up(gateway)
        log.seek(await log.ends())  # before the subscription, whose message may wait for us
        async with connected(Broker.of(settings), topics if follow else ()) as mqtt:
            if follow:
                mark = await _next(mqtt, sensor, timeout_s)
            else:
                tolerance_s = settings.future_tolerance_s
                message = payload(value, newest, now=time.time(), future_tolerance_s=tolerance_s)
                mark = Mark.of(sensor, topics[0], message, mqtt.publish(topics[0], message))
            run = _Run(Path(mark, published=not follow, rest=rest), mark, report)
            watches = [run.records(log), run.rows(database)]
            watches += [] if follow else [run.acknowledgement(mqtt)]
            watches += [run.answers(gateway, table) for table in ROUTES] if rest else []
            return await run.to_end(watches, timeout_s)


def problem(trace: Trace, timeout_s: float) -> BdemoError | None:
    """What is wrong with a trace that has ended: VerificationFailed for a refused reading, TimedOut."""
    if trace.refusal is not None and trace.outcome == "refused":
        refusal = trace.refusal
        return VerificationFailed(
            f"{refusal.stage} refuses the reading: {refusal.reason}: {refusal.detail}",
            hint=f"it is kept as it came: bdemo dlq ls --sensor {trace.sensor}",
        )
    if trace.outcome != "timed out":
        return None
    steps = trace.stands_before
    services = list(dict.fromkeys(step.service for step in steps))
    reached = dict.fromkeys(_PLACES.get(step.after or "", step.after) for step in steps)
    awaited = (_PLACES.get(step.name, step.name) for step in steps)
    troubles = "".join(f"; {text}" for text in dict.fromkeys(trace.troubles.values()))
    return TimedOut(
        f"the reading has not come to {' or '.join(awaited)} within {timeout_s:g} s; "
        f"it stands at {' and '.join(map(str, reached))}{troubles}",
        hint=f"that is the work of {' and '.join(services)}: bdemo status, bdemo logs {' '.join(services)}",
    )


#: Steps whose names are not places.
_PLACES = {PUBLISHED: "MQTT", SEEN: "MQTT", ACKNOWLEDGED: "its acknowledgement"}


class _Run:
    """One reading that is followed: its path receives what the watches find."""

    def __init__(self, path: Path, mark: Mark, report: HopReport) -> None:
        self._path = path
        self._mark = mark
        self._report = report
        self._over = asyncio.Event()
        self._near = {table: asyncio.Event() for table in TABLES}
        """Set when the gateway may soon have it."""
        self._told()

    async def to_end(self, watches: Sequence[Any], timeout_s: float) -> Trace:
        """Runs the watches until the reading has reached its end, or time is up. Raises ServiceFailed."""
        with _alone():
            try:
                async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
                    tasks = [group.create_task(watch) for watch in watches]
                    await self._over.wait()
                    for task in tasks:
                        task.cancel()
            except TimeoutError:
                self._path.time_out()
        found = self._path.trace()
        self._report(found)
        return found

    async def acknowledgement(self, mqtt: Connection) -> None:
        """The broker's PUBACK."""
        try:
            self._reach(ACKNOWLEDGED, await mqtt.acknowledged(), Location())
        except ServiceFailed as problem:
            self._path.trouble(ACKNOWLEDGED, problem.message)

    async def records(self, log: KafkaLog) -> None:
        """Kafka's records, among all others that come."""
        while True:
            for records in (await log.poll()).values():
                for record in records:
                    if self._path.see(record, time.time()):
                        self._told()

    async def rows(self, database: Database) -> None:
        """The rows of both tables, with the times of their commits."""
        reading = self._mark.reading
        if reading is None:
            return
        async for _ in _pauses(0.1):
            try:
                rows = await database.read(
                    lambda connection: connection.fetch(_ROWS, reading.sensor, reading.timestamp)
                )
                trouble = None
            except DatabaseUnavailable as problem:
                rows, trouble = [], problem.message
            for name in TABLES.values():
                self._path.trouble(name, trouble)
            for table, value, committed in rows:
                # PostgreSQL forgets the commit times of old rows
                when = self._mark.when if committed is None else committed
                if self._path.owns(table, value):
                    self._reach(TABLES[table], when, Location(repr(value)))
            if len(rows) == len(TABLES):
                return

    async def answers(self, gateway: httpx.AsyncClient, table: str) -> None:
        """The gateway's first answer that has it; asks often while it must be near."""
        reading = self._mark.reading
        if reading is None:
            return
        asked: dict[str, str | int] = {
            "sensor_num": reading.sensor,
            "timestamp_start": repr(reading.timestamp),
            "timestamp_end": repr(reading.timestamp),
        }
        await self._near[table].wait()
        async for _ in _pauses(0.05):
            try:
                answer = await gateway.get(f"/{table}", params=asked)
                rows = _decode_rows(answer.content) if answer.status_code == 200 else None
            except (httpx.HTTPError, *UNREADABLE):
                self._path.trouble(ROUTES[table], "the gateway does not answer")
                continue
            if rows is None:
                self._path.trouble(ROUTES[table], f"the gateway answers {answer.status_code}")
            elif rows and self._path.owns(table, rows[0].value):
                self._reach(ROUTES[table], time.time(), Location(repr(rows[0].value)))
                return
            else:
                self._path.trouble(ROUTES[table], None)

    def _reach(self, name: str, when: float, place: Location) -> None:
        if self._path.reach(name, when, place):
            self._told()

    def _told(self) -> None:
        """Reports the new state, and ends the run when the reading is there."""
        for table, topic in (("temperature", PROCESSED_DATA), ("average", AGGREGATED_DATA)):
            if self._path.has(topic) or self._path.has(TABLES[table]):
                self._near[table].set()
        self._report(self._path.trace())
        if self._path.over:
            self._over.set()
        elif self._path.repeated:
            asyncio.get_running_loop().call_later(REPEATED_S, self._give_up)

    def _give_up(self) -> None:
        self._path.time_out()
        self._over.set()


@contextlib.contextmanager
def _alone() -> Any:
    """Unwraps the error of a watch from its exception group."""
    try:
        yield
    except* BdemoError as problems:
        raise problems.exceptions[0] from None


async def _pauses(longest_s: float) -> AsyncIterator[None]:
    """Yields once per turn of a watch: the longer it has waited, the longer the pause."""
    began = time.monotonic()
    while True:
        yield
        await asyncio.sleep(min(longest_s, max(0.002, (time.monotonic() - began) / 20)))


async def _warm_up(gateway: httpx.AsyncClient) -> None:
    """Connects: the 0.1 s for what the first request imports and opens would be measured as the gateway's."""
    with contextlib.suppress(httpx.HTTPError):
        await gateway.get("/healthz")


async def _newest(connection: Any, sensor: int) -> tuple[float, float] | None:
    """Time and value of the sensor's newest reading. Raises ServiceFailed when PostgreSQL keeps no commit times."""
    if await connection.fetchval("show track_commit_timestamp") != "on":
        raise ServiceFailed(
            "PostgreSQL does not record when rows are committed", hint="set track_commit_timestamp=on there"
        )
    row = await latest(connection, "temperature", sensor)
    return None if row is None else (row[1], row[2])


async def _next(mqtt: Connection, sensor: int, timeout_s: float) -> Mark:
    """The sensor's next message. Raises TimedOut, ServiceFailed."""
    try:
        async with asyncio.timeout(timeout_s):
            topic, message, when = await mqtt.message()
    except TimeoutError:
        raise TimedOut(
            f"sensor {sensor} published nothing within {timeout_s:g} s",
            hint="give it a longer --timeout, or leave --next out to publish a reading for it",
        ) from None
    return Mark.of(sensor, topic, message, when)
