"""A pipeline under measurement: its processes, its rows, and the proof that they are right."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from backend_demo.domain.topics import SENSOR_DATA
from backend_demo.domain.verdict import Entry, Expected
from backend_demo.errors import ServiceFailed, VerificationFailed
from backend_demo.operations.verify import verify
from backend_demo.settings import Settings

Notify = Callable[[str], None]

#: Rows are counted when nothing has moved for so long, and every so often when something always does.
QUIET_S, COUNT_EVERY_S = 0.5, 15.0
POLL_S = 0.1
#: When no row has come for so long, no more will.
STALL_S = 20.0
CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 300.0
#: What the check waits for an average that is still on its way.
CHECK_WAIT_S = 5.0

#: The services that move readings from `sensor-data` to the tables.
STAGES = ("collection", "processing", "aggregation", "loader")


@dataclass(frozen=True)
class Pipeline:
    """One way from a raw topic to both tables."""

    name: str
    settings: Settings
    """Where its Kafka and its tables are."""
    stages: Mapping[str, int]
    """Pids of the services from the raw topic on, by name: frozen while a drain is prepared."""
    others: Mapping[str, int]
    """Pids of the servers, and of services before the raw topic."""
    shared: bool
    """Whether its tables hold other rows than the bench's."""
    raw: str = SENSOR_DATA
    moved: str = "select coalesce(sum(next_offset), 0) from fence"
    """A cheap query whose answer changes as rows come."""

    @property
    def pids(self) -> dict[str, int]:
        """All of them."""
        return {**self.others, **self.stages}


@contextlib.contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """Processes stand still inside of the block, and go on after it: also when this process is killed in it."""
    stopped = [str(pid) for pid in pids]
    guard = subprocess.Popen(
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


class Rows:
    """The rows of some sensors, in both tables, from some time on."""

    def __init__(self, connection: Any, moved: str, sensors: range, since: float) -> None:
        self._connection, self._moved = connection, moved
        self._bounds = (sensors[0], sensors[-1], since)

    async def wait_for(self, count: int, *, stall_s: float = STALL_S) -> int:
        """Waits until both tables have so many, or no more come; how many the smaller one has."""
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
        """Rows of the table that has fewer."""
        counts: list[int] = [
            await self._connection.fetchval(
                f"select count(*) from {table} where sensor_num between $1 and $2 and timestamp >= $3", *self._bounds
            )
            for table in ("temperature", "average")
        ]
        return min(counts)

    async def commits(self) -> tuple[float, float]:
        """When the first and the last of them were committed, epoch seconds by PostgreSQL's clock."""
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
            raise VerificationFailed("no reading has arrived in the tables", hint="see: bdemo logs")
        return found[0], found[1]

    async def delays(self, table: str) -> list[float]:
        """Seconds from each reading's time to the commit of its row."""
        found = await self._connection.fetch(
            f"select extract(epoch from pg_xact_commit_timestamp(xmin))::float8 - timestamp from {table} "
            "where sensor_num between $1 and $2 and timestamp >= $3",
            *self._bounds,
        )
        return [row[0] for row in found]

    async def delete(self, *, shared: bool) -> None:
        """Deletes all rows of these sensors; where nobody else's are in the tables, all at once."""
        for table in ("temperature", "average"):
            if shared:
                await self._connection.execute(
                    f"delete from {table} where sensor_num between $1 and $2", *self._bounds[:2]
                )
            else:
                await self._connection.execute(f"truncate {table}")


@contextlib.asynccontextmanager
async def connected(pipeline: Pipeline) -> AsyncIterator[Any]:
    """A connection to the pipeline's tables. Raises ServiceFailed; so too when PostgreSQL keeps no commit times."""
    try:
        connection = await asyncpg.connect(
            pipeline.settings.postgres_dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S,
            server_settings={"application_name": "bdemo bench"},
        )
        try:
            if await connection.fetchval("show track_commit_timestamp") != "on":
                raise ServiceFailed(
                    "PostgreSQL does not record when rows are committed", hint="set track_commit_timestamp=on there"
                )
            yield connection
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
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
            f"{pipeline.name} was not exact, so there is no figure: {', '.join(wrong)}",
            hint="a service that fails under load shows in: bdemo status, bdemo logs; repeat with --running",
        )
