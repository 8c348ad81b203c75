"""Checks what the pipeline has stored, against a ledger or against SQL's own averages; waits until all has arrived."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from backend_demo.adapters import postgres
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.identities import identities
from backend_demo.domain.topics import DEAD_LETTER, PROCESSED_DATA, SENSOR_DATA, SRC_DATA
from backend_demo.domain.verdict import Expected, Finding, Judge, Retention, StoredIdentity, Verdict
from backend_demo.errors import ServiceFailed, UnknownName
from backend_demo.operations.kafka_log import KafkaLog, partitions_of
from backend_demo.settings import Settings

#: The tables are compared when the loader has stood still for STILL_S, and every LOOK_S while it never does, seconds.
STILL_S, LOOK_S = 1.0, 5.0
POLL_S = 0.25
CLOSE_TIMEOUT_S = 5.0
#: Time limit of one statement: a million rows take seconds.
STATEMENT_TIMEOUT_S = 300.0
#: How long Kafka may be away, seconds.
PATIENCE_S = 30.0
#: The sensors' clocks and Kafka's may differ by this much when dead letters are searched by time.
CLOCKS_S = 120.0
PREFETCH = 2000

# Both sides are narrowed before the join: a condition on a column of a full join is not pushed down.
_ROWS = """
select sensor_num, timestamp, reading.value, mean.value
from (select * from temperature where sensor_num = any($1::bigint[]) and timestamp <= $2) reading
full join (select * from average where sensor_num = any($1::bigint[]) and timestamp <= $2) mean
using (sensor_num, timestamp)
order by sensor_num, timestamp
"""

# Rows that came after `$1` was noted may still wait for their average; those before `$2` lack predecessors, which
# retention has dropped. Half of a hundredth: any rounding of a tie.
_ORACLE = """
with expected as (
  select sensor_num, timestamp, id,
    avg(value) over (partition by sensor_num order by timestamp rows {before} preceding) as mean
  from temperature
)
select sensor_num, timestamp, expected.mean, average.value
from expected full join average using (sensor_num, timestamp)
where (expected.id is null or expected.id <= $1) and timestamp >= $2
  and (expected.mean is null or average.value is null or abs(average.value - expected.mean) > 0.005 + 1e-9)
"""


async def verify(
    settings: Settings,
    expected: Expected | None = None,
    *,
    wait_s: float,
    notify: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """Judges what is stored: with a ledger its readings and their sensors' averages, without one every average.

    Compares again and again: returns as soon as nothing is wrong, else after `wait_s`, or when the loader has not moved
    for half of it. The ledger is one of a simulation that has ended. Raises ServiceFailed: PostgreSQL or Kafka is away.
    """
    check = _AgainstOracle(settings) if expected is None else _AgainstLedger(settings, expected, notify)
    began = moved = looked = time.monotonic()
    loaded = looked_at = -1
    verdict = None
    while True:
        found, now = await _loaded(settings), time.monotonic()
        if found != loaded:
            loaded, moved = found, now
        over = now - began >= wait_s or now - moved >= wait_s / 2
        if loaded != looked_at and (over or now - moved >= STILL_S or now - looked >= LOOK_S):
            looked_at = loaded
            verdict = await check()
            looked = time.monotonic()
            if verdict.passed:
                return verdict
            notify("something is still missing or wrong, waiting" if not over else "no more readings are arriving")
        if over and verdict is not None:
            if isinstance(check, _AgainstLedger) and verdict.lost.count:
                await check.trace(verdict)
            return verdict
        await asyncio.sleep(POLL_S)


class _AgainstLedger:
    """The ledger's readings, against the rows of their sensors; if need be, against the dead letters."""

    def __init__(self, settings: Settings, expected: Expected, notify: Callable[[str], None]) -> None:
        self._settings, self._expected, self._notify = settings, expected, notify
        self._refused: set[tuple[int, float]] = set()
        self._of_others: set[tuple[int, float]] = set()
        self._lost: set[tuple[int, float]] = set()

    async def __call__(self) -> Verdict:
        judge, verdict = await self._judge()
        if verdict.lost.count or verdict.altered.count:
            sensors = set(self._expected.sensors)
            self._refused = {found async for found in self._identities(DEAD_LETTER) if found[0] in sensors}
            judge, verdict = await self._judge()
        if judge.invented:  # or has somebody else sent it to one of these sensors?
            self._of_others |= {found async for found in self._identities(SENSOR_DATA) if found in judge.invented}
            judge, verdict = await self._judge()
        self._lost = judge.lost
        return verdict

    async def trace(self, verdict: Verdict) -> None:
        """Looks for the lost readings in the topics, from the last one back."""
        left = set(self._lost)
        for topic in (PROCESSED_DATA, SRC_DATA, SENSOR_DATA):
            if left:
                found = {identity async for identity in self._identities(topic) if identity in left}
                left -= found
                verdict.last_seen[topic] = len(found)
        verdict.last_seen[""] = len(left)

    async def _judge(self) -> tuple[Judge, Verdict]:
        async with _database(self._settings) as connection:
            judge = Judge(
                self._expected,
                self._refused,
                window=self._settings.aggregation_window,
                of_others=self._of_others,
                retention=await dropped(connection),
            )
            rows = connection.cursor(_ROWS, self._expected.sensors, self._expected.last, prefetch=PREFETCH)
            async for row in rows:
                judge.see(StoredIdentity(*row))
        return judge, judge.end()

    async def _identities(self, topic: str) -> AsyncIterator[tuple[int, float]]:
        """The readings in a topic, from the ledger's first time to now."""
        brokers = Brokers.of(self._settings)
        known = await partitions_of(brokers)
        if topic not in known:
            raise UnknownName("topic", topic, known)
        async with KafkaLog(brokers, known[topic], patience_s=PATIENCE_S, notify=self._notify) as log:
            ends = await log.ends()
            log.seek(await log.starts(max(1.0, self._expected.first - CLOCKS_S)))
            while unread := [partition for partition in ends if log.positions[partition] < ends[partition]]:
                for records in (await log.poll(unread)).values():
                    for record in records:
                        for identity in identities(record.key, record.value):
                            yield identity


class _AgainstOracle:
    """Every average, against the mean that PostgreSQL computes itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._newest: int | None = None
        """Id of the newest reading at the first comparison: later ones are not waited for."""

    async def __call__(self) -> Verdict:
        verdict = Verdict()
        async with _database(self._settings) as connection:
            if self._newest is None:
                self._newest = await connection.fetchval("select coalesce(max(id), 0) from temperature")
            verdict.readings = await connection.fetchval("select count(*) from temperature")
            verdict.averages = await connection.fetchval("select count(*) from average")
            verdict.retention = await dropped(connection)
            oracle = _ORACLE.format(before=self._settings.aggregation_window - 1)
            limits = (self._newest, verdict.retention.dropped_to)
            async for sensor, timestamp, mean, stored in connection.cursor(oracle, *limits, prefetch=PREFETCH):
                finding = Finding(sensor, timestamp, mean, stored)
                if mean is None:
                    verdict.average_orphaned.add(finding)
                elif stored is None:
                    verdict.average_missing.add(finding)
                else:
                    verdict.average_wrong.add(finding)
        return verdict


async def dropped(connection: Any) -> Retention:
    """What retention has dropped so far."""
    return Retention(*await connection.fetchrow("select dropped_to, readings, averages from retention"))


async def _loaded(settings: Settings) -> int:
    """How far the loader is: the sum of its offsets."""
    async with _database(settings) as connection:
        return int(await connection.fetchval("select coalesce(sum(next_offset), 0) from fence"))


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Any]:
    """A connection in a transaction that sees one state of the tables and changes nothing. Raises ServiceFailed."""
    try:
        connection = await postgres.connect(
            settings.postgres_dsn, application="bdemo verify", command_timeout_s=STATEMENT_TIMEOUT_S
        )
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            await connection.close(timeout=CLOSE_TIMEOUT_S)
    except postgres.FAILURES as problem:
        raise ServiceFailed(
            f"PostgreSQL cannot be read: {problem or type(problem).__name__}", hint="see: bdemo status"
        ) from problem
