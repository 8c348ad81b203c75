"""The newest dead letters, and how each stands, read from Kafka: /v1/dead-letters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from backend_demo.adapters.kafka import Brokers
from backend_demo.described import described
from backend_demo.domain.letter_mark import LetterState
from backend_demo.errors import ServiceFailed
from backend_demo.gateway import problems
from backend_demo.gateway.routes.parameters import NamedSensor, Parameters, QueryTime
from backend_demo.operations.dead_letters.letter_log import LetterLog, WantedLetters, opened
from backend_demo.operations.dead_letters.refused import Refused

#: Time limit of a search by sensor or stage, seconds.
SEARCH_S = 0.5
#: Time limit of a whole request, seconds.
TIMEOUT_S = 5.0
#: Time limit for counting them, seconds: the statistics wait for it.
TOTAL_S = 1.0
#: Time for which the connection to Kafka is kept after a request, seconds: the console asks repeatedly.
KEEP_S = 30.0

router = APIRouter(prefix="/v1", tags=["v1"])


@described
@dataclass(frozen=True)
class DeadLetters:
    """Dead letters, newest first."""

    dead_letters: list[Refused]
    truncated: bool
    """There are older ones, or may be: a search looks back for half a second."""
    total: int
    """All dead letters that Kafka has, whatever their stage, sensor, reason and state."""


_EXAMPLE = {
    "dead_letters": [
        {
            "id": "3:17",
            "time": 1664000000.123,
            "stage": "collection",
            "reason": "range",
            "detail": "250.0 is not between -100.0 and 200.0",
            "sensor": 1,
            "topic": "sensor-data",
            "partition": 3,
            "offset": 4711,
            "payload": '{"value": 250, "timestamp": 1664000000.123}',
            "encoding": "utf-8",
            "size": 43,
            "truncated": False,
            "state": "open",
            "state_since": None,
            "replayed": [],
        }
    ],
    "truncated": True,
    "total": 63,
}


class DeadLettersParameters(Parameters):
    """Which dead letters."""

    limit: Annotated[int, Field(ge=1, le=1000, description="Maximum number of dead letters.")] = 50
    sensor: Annotated[
        NamedSensor | None, Field(description="Only dead letters of this sensor, a number or a name.")
    ] = None
    stage: Annotated[
        str | None, Field(max_length=50, description="Only dead letters of this stage, such as `collection`.")
    ] = None
    reason: Annotated[
        str | None, Field(max_length=50, description="Only dead letters with this reason, such as `range`.")
    ] = None
    state: Annotated[LetterState | None, Field(description="Only dead letters that stand so.")] = None
    start: Annotated[
        QueryTime | None,
        Field(alias="from", description="Only those refused since then: RFC 3339 or epoch seconds."),
    ] = None
    end: Annotated[
        QueryTime | None, Field(alias="to", description="Only those refused up to then: RFC 3339 or epoch seconds.")
    ] = None

    def wanted(self) -> WantedLetters:
        """Which dead letters match."""
        return WantedLetters(
            reasons=() if self.reason is None else (self.reason,),
            stages=() if self.stage is None else (self.stage,),
            sensors=() if self.sensor is None else (self.sensor,),
            states=() if self.state is None else (self.state,),
            since=self.start,
            until=self.end,
        )


@router.get(
    "/dead-letters",
    response_model=DeadLetters,
    summary="The newest refused records, with reasons",
    responses={
        200: {"content": {"application/json": {"example": _EXAMPLE}}},
        **problems.responses(_422="A parameter is invalid.", _503="Kafka is unavailable; try again."),
    },
)
async def dead_letters(request: Request, wanted: Annotated[DeadLettersParameters, Query()]) -> Response:
    """Newest first, by the time of the refusal."""
    reader: DeadLetterReader = request.app.state.dead_letters
    try:
        async with reader.letters() as letters:
            total = await letters.total()
            found = DeadLetters(*await letters.newest(wanted.limit, wanted.wanted(), limit_s=SEARCH_S), total)
    except ServiceFailed as problem:
        return unavailable(problem)
    return Response(msgspec.json.encode(found), media_type="application/json")


def unavailable(problem: ServiceFailed) -> Response:
    """The answer while Kafka is away."""
    return problems.problem(503, "kafka_unavailable", problem.message, {"Retry-After": str(problems.RETRY_AFTER_S)})


class DeadLetterReader:
    """Reads dead letters, one request after the other, over a connection that is kept for a while."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._turn = asyncio.Lock()
        self._log: LetterLog | None = None
        self._held = contextlib.AsyncExitStack()
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Closes the connection after a while without requests, and at the end."""
        try:
            while True:
                await self._asked.wait()
                while self._asked.is_set():
                    self._asked.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(KEEP_S):
                            await self._asked.wait()
                async with self._turn:
                    await self._disconnect()
        finally:
            await self._disconnect()

    @contextlib.asynccontextmanager
    async def letters(self, limit_s: float = TIMEOUT_S) -> AsyncIterator[LetterLog]:
        """The dead letters, with all marks that there are now. Raises ServiceFailed, also when time is up."""
        try:
            async with asyncio.timeout(limit_s), self._turn:
                self._asked.set()
                try:
                    if self._log is None:
                        kafka = opened(self._brokers, patience_s=0, notify=lambda _: None)
                        self._log = await self._held.enter_async_context(kafka)
                    else:
                        await self._log.read_marks()
                    yield self._log
                    self._log.rest()
                except BaseException:
                    await self._disconnect()
                    raise
        except TimeoutError:
            raise ServiceFailed(f"Kafka at {self._brokers} does not answer in time") from None

    async def total(self) -> int | None:
        """How many dead letters Kafka has; None: it does not answer at once."""
        try:
            async with self.letters(TOTAL_S) as letters:
                return await letters.total()
        except ServiceFailed:
            return None

    async def _disconnect(self) -> None:
        self._log = None
        await self._held.aclose()
