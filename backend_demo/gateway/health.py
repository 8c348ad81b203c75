"""Is the gateway alive, is it ready, and if not: what is missing, and since when."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from backend_demo import metrics
from backend_demo.errors import ServiceFailed
from backend_demo.gateway.problems import RETRY_AFTER_S
from backend_demo.storage import read
from backend_demo.storage.pool import Database, DatabaseUnavailable

CHECK_EVERY_S = 1.0
CHECK_TIMEOUT_S = 3.0
#: How long after the start the database, migrated, may be waited for.
START_LIMIT_S = 60.0
#: How long the credentials or the database's name may be wrong: a stack that comes up makes them in this time.
MISCONFIGURED_LIMIT_S = 5.0

log = structlog.get_logger()


class Readiness:
    """What the gateway lacks, looked at every second and whenever somebody asks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._missing: str | None = "not yet asked"
        self._since = time.time()
        self._waits_since = self._started = time.monotonic()
        self._start_limit_s = START_LIMIT_S
        self._was_ready = False

    @property
    def missing(self) -> str | None:
        """Why requests would not be answered, as it was a moment ago."""
        return self._missing

    @property
    def hopeless(self) -> bool:
        """The database has not been there since the start, for the whole time that it may take."""
        return not self._was_ready and time.monotonic() - self._waits_since > self._start_limit_s

    def failure(self) -> ServiceFailed:
        """Why the gateway gives up."""
        return ServiceFailed(
            f"the gateway waited {self._start_limit_s:.0f} s for PostgreSQL: {self._missing}",
            hint="look at BDEMO_POSTGRES_DSN, then: bdemo migrate",
        )

    async def check(self) -> dict[str, object]:
        """Reads from the tables; the answer of /readyz."""
        self._note(await self._look())
        if self._missing is None:
            return {"status": "ready", "missing": []}
        since = datetime.fromtimestamp(self._since, UTC).isoformat(timespec="milliseconds")
        missing = {"name": "postgres", "reason": self._missing, "since": since.replace("+00:00", "Z")}
        return {"status": "not ready", "missing": [missing]}

    async def watch(self) -> None:
        """Checks for ever: /readyz can say since when, and the log says when it changes."""
        while True:
            self._note(await self._look())
            await asyncio.sleep(CHECK_EVERY_S)

    async def _look(self) -> str | None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await self._database.read(read.check_tables)
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


router = APIRouter(tags=["health"])


class Alive(BaseModel):
    """The process lives."""

    status: str = Field(examples=["alive"])


class Missing(BaseModel):
    """A server that the gateway needs."""

    name: str = Field(examples=["postgres"])
    reason: str = Field(examples=["it refuses connections"])
    since: str = Field(examples=["2026-11-24T10:00:00.000Z"])


class Ready(BaseModel):
    """Whether a request would be answered."""

    status: str = Field(examples=["ready"])
    missing: list[Missing]


@router.get("/healthz", response_model=Alive, summary="Does the process live?")
async def healthz() -> Response:
    """Asks nobody: 200 while the process answers at all."""
    return JSONResponse({"status": "alive"})


@router.get(
    "/readyz",
    response_model=Ready,
    summary="Would a request be answered?",
    responses={503: {"model": Ready, "description": "What is missing, and since when."}},
)
async def readyz(request: Request) -> Response:
    """Reads from the tables."""
    found = await request.app.state.readiness.check()
    if found["missing"]:
        return JSONResponse(found, 503, {"Retry-After": str(RETRY_AFTER_S)})
    return JSONResponse(found)
