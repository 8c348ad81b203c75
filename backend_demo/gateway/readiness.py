"""Whether the gateway can answer requests, and if not, what is missing and since when."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from backend_demo import metrics
from backend_demo.described import described
from backend_demo.errors import ServiceFailed
from backend_demo.storage.latest import check_tables
from backend_demo.storage.pool import Database, DatabaseUnavailable

CHECK_EVERY_S = 1.0
CHECK_TIMEOUT_S = 3.0
#: How long the gateway waits after its start for a migrated database, seconds.
START_LIMIT_S = 60.0
#: How long the credentials or the database name may be wrong, seconds: a starting stack creates them in this time.
MISCONFIGURED_LIMIT_S = 5.0

log = structlog.get_logger()


@described
@dataclass(frozen=True)
class Missing:
    """A server that the gateway needs."""

    name: str
    reason: str
    since: str
    """RFC 3339, in UTC."""


@described
@dataclass(frozen=True)
class Ready:
    """Whether the gateway can answer requests."""

    status: str
    """`ready` or `not ready`."""
    missing: tuple[Missing, ...]


class Readiness:
    """Checks the database every second and at each request of /readyz."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._missing: str | None = "not checked yet"
        self._since = time.time()
        self._waits_since = self._started = time.monotonic()
        self._start_limit_s = START_LIMIT_S
        self._was_ready = False

    @property
    def missing(self) -> str | None:
        """Why requests cannot be answered, according to the last check; None if they can."""
        return self._missing

    @property
    def hopeless(self) -> bool:
        """Whether the database has been unavailable since the start, for longer than the gateway waits."""
        return not self._was_ready and time.monotonic() - self._waits_since > self._start_limit_s

    def failure(self) -> ServiceFailed:
        """The error with which the gateway gives up."""
        return ServiceFailed(
            f"the gateway waited {self._start_limit_s:.0f} s for PostgreSQL: {self._missing}",
            hint="check BDEMO_POSTGRES_DSN, then run: bdemo migrate",
        )

    async def check(self) -> Ready:
        """Reads from the tables, and returns the answer of /readyz."""
        self._note(await self._look())
        if self._missing is None:
            return Ready("ready", ())
        since = datetime.fromtimestamp(self._since, UTC).isoformat(timespec="milliseconds")
        return Ready("not ready", (Missing("postgres", self._missing, since.replace("+00:00", "Z")),))

    async def watch(self) -> None:
        """Checks forever, so that /readyz knows since when and the log says when it changes."""
        while True:
            self._note(await self._look())
            await asyncio.sleep(CHECK_EVERY_S)

    async def _look(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await self._database.read(check_tables)
        except DatabaseUnavailable as problem:
            if not problem.misconfigured:
                self._waits_since, self._start_limit_s = self._started, START_LIMIT_S
            elif self._start_limit_s != MISCONFIGURED_LIMIT_S:
                self._waits_since, self._start_limit_s = time.monotonic(), MISCONFIGURED_LIMIT_S
            return problem.reason
        except TimeoutError:
            return "it does not answer"
        return None

    def _note(self, missing: str | None) -> None:
        if (missing is None) != (self._missing is None):
            self._since = time.time()
        if missing != self._missing:
            if missing is None:
                log.info("ready")
            else:
                log.warning("not ready", missing="postgres", reason=missing)
        self._missing = missing
        self._was_ready = self._was_ready or missing is None
        metrics.service_ready.labels("gateway").set(missing is None)
