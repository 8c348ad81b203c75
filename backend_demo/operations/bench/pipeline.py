"""A pipeline that is measured: its processes, its rows, and the proof that they are right."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backend_demo.adapters import postgres
from backend_demo.domain.topics import SENSOR_DATA
from backend_demo.domain.verdict import Entry, Expected
from backend_demo.errors import ServiceFailed, VerificationFailed
from backend_demo.operations.notify import Notify
from backend_demo.operations.verify import verify
from backend_demo.settings import Settings
from backend_demo.storage import hours

#: Rows are counted after this time without a change, and at least once in the longer time, seconds.
QUIET_S, COUNT_EVERY_S = 0.5, 15.0
#: Time between looks at the cheap query, seconds.
POLL_S = 0.1
#: After this time without a new row, no more are expected, seconds.
STALL_S = 20.0
CLOSE_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 300.0
#: Longest wait of the check for an average that is still on its way, seconds.
CHECK_WAIT_S = 5.0

#: The services that move readings from `sensor-data` to the tables.
STAGES = ("collection", "processing", "aggregation", "loader")


@dataclass(frozen=True)
class Pipeline:
    """A pipeline from a raw topic to both tables."""

    name: str
    settings: Settings
    """They name its Kafka and its database."""
    stages: Mapping[str, int]
    """Pids of the services after the raw topic, by name: frozen while a drain is prepared."""
    others: Mapping[str, int]
    """Pids of the servers, and of services before the raw topic."""
    shared: bool
    """Whether its tables have rows that are not the bench's."""
    raw: str = SENSOR_DATA
    moved: str = "select coalesce(sum(next_offset), 0) from fence"
    """A cheap query whose answer changes as rows arrive."""

    @property
    def pids(self) -> dict[str, int]:
        """Pids of all services and servers, by name."""
        return {**self.others, **self.stages}


@contextlib.contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """Stops the processes inside the block, and continues them after it, even if this process is killed meanwhile."""
    stopped = [str(pid) for pid in pids]
    guard = subprocess.Popen(  # noqa: S603 - words, no shell
        ["/bin/sh", "-c", 'read -r _; kill -CONT "$@" 2>/dev/null', "sh", *stopped],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        for pid in stopped:
            os.kill(int(pid), signal.SIGSTOP)
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGCONT)
        guard.communicate(timeout=10)


class StoredRows:
    """The rows of some sensors in both tables, from a given time on."""

    def __init__(self, connection: Any, moved: str, sensors: range, since: float) -> None:
        self._connection, self._moved = connection, moved
        self._bounds = (sensors[0], sensors[-1], since)

    async def wait_for(self, count: int, *, stall_s: float = STALL_S) -> int:
        """Waits until both tables have this many rows, or no more arrive. Returns the number in the smaller table."""
        moved, rows = None, -1
        moved_at = counted_at = grown_at = time.monotonic()
        while True:
            found, now = await self._connection.fetchval(self._moved), time.monotonic()
            if found != moved:
                moved, moved_at = found, now
            if now - moved_at >= QUIET_S or now - counted_at >= COUNT_EVERY_S:
                moved_at, counted_at = now, time.monotonic()
                if (counted := await self.count()) >= count:
                    return counted
                if counted != rows:
                    rows, grown_at = counted, now
                elif now - grown_at > stall_s:
                    return counted
            await asyncio.sleep(POLL_S)

    async def count(self) -> int:
        """Number of rows in the table that has fewer."""
        counts: list[int] = [
            await self._connection.fetchval(
                f"select count(*) from {table} "  # noqa: S608 - names of ours
                "where sensor_num between $1 and $2 and timestamp >= $3",
                *self._bounds,
            )
            for table in ("temperature", "average")
        ]
        return min(counts)

    async def commits(self) -> tuple[float, float]:
        """When the first and the last row were committed, epoch seconds by PostgreSQL's clock."""
        found = await self._connection.fetchrow(
            """
            select extract(epoch from min(at))::float8, extract(epoch from max(at))::float8 from (
              select pg_xact_commit_timestamp(xmin) as at from temperature
              where sensor_num between $1 and $2 and timestamp >= $3
              union all
              select pg_xact_commit_timestamp(xmin) from average
              where sensor_num between $1 and $2 and timestamp >= $3) commits
            """,
            *self._bounds,
        )
        if found[0] is None:
            raise VerificationFailed("no reading arrived in the tables", hint="see: bdemo logs")
        return found[0], found[1]

    async def delays(self, table: str) -> list[float]:
        """Time from each reading's timestamp to the commit of its row, seconds."""
        found = await self._connection.fetch(
            "select extract(epoch from pg_xact_commit_timestamp(xmin))::float8 - timestamp "  # noqa: S608 - own names
            f"from {table} where sensor_num between $1 and $2 and timestamp >= $3",
            *self._bounds,
        )
        return [row[0] for row in found]

    async def delete(self, *, shared: bool) -> None:
        """Deletes all rows of these sensors; truncates tables that are not shared."""
        if shared:
            await hours.delete_sensors(self._connection, *self._bounds[:2])
        else:
            await self._connection.execute("truncate temperature, average")


@contextlib.asynccontextmanager
async def connected(pipeline: Pipeline) -> AsyncIterator[Any]:
    """Connects to the pipeline's database. Raises ServiceFailed, also when PostgreSQL records no commit times."""
    try:
        connection = await postgres.connect(
            pipeline.settings.postgres_dsn, application="bdemo bench", command_timeout_s=STATEMENT_TIMEOUT_S
        )
        try:
            if await connection.fetchval("show track_commit_timestamp") != "on":
                raise ServiceFailed(
                    "PostgreSQL does not record when rows are committed", hint="set track_commit_timestamp=on there"
                )
            yield connection
        finally:
            await connection.close(timeout=CLOSE_TIMEOUT_S)
    except postgres.FAILURES as problem:
        raise ServiceFailed(f"PostgreSQL fails: {problem or type(problem).__name__}", hint="see: bdemo status") from (
            problem
        )


async def prove(pipeline: Pipeline, entries: Iterable[Entry], refused: int, notify: Notify) -> None:
    """Compares every row and every average with what was sent. Raises VerificationFailed."""
    verdict = await verify(pipeline.settings, Expected(entries), wait_s=CHECK_WAIT_S, notify=notify)
    wrong = [
        f"{findings.count:,} {name.replace('_', ' ')}" for name, findings in verdict.findings.items() if findings.count
    ]
    if verdict.dead_letters != refused:
        wrong.append(f"{verdict.dead_letters:,} of {refused:,} dead letters")
    if wrong:
        raise VerificationFailed(
            f"{pipeline.name} was not exact, so there is no result: {', '.join(wrong)}",
            hint="look for a service that fails under load: bdemo status, bdemo logs; repeat with --running",
        )
