"""The newest dead letters, read from Kafka: /v1/dead-letters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from backend_demo.adapters.kafka import Brokers
from backend_demo.described import described
from backend_demo.domain.topics import DEAD_LETTER
from backend_demo.errors import ServiceFailed
from backend_demo.gateway import problems
from backend_demo.gateway.routes.parameters import NamedSensor, Parameters
from backend_demo.operations.dead_letters import Refused, newest
from backend_demo.operations.kafka_log import KafkaLog, partitions_of

#: Time limit of a search by sensor or stage, seconds.
SEARCH_S = 0.5
#: Time limit of a whole request, seconds.
TIMEOUT_S = 5.0
#: Time for which the connection to Kafka is kept after a request, seconds: the console asks repeatedly.
KEEP_S = 30.0

router = APIRouter(prefix="/v1", tags=["v1"])


@described
@dataclass(frozen=True)
class DeadLetters:
    """Dead letters, newest first."""

    dead_letters: list[Refused]
    truncated: bool
    """There are older ones, or may be: a search for a sensor or a stage looks back for half a second."""


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
        }
    ],
    "truncated": True,
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

    def wanted(self, letter: Refused) -> bool:
        """Whether a dead letter matches."""
        return self.sensor in (None, letter.sensor) and self.stage in (None, letter.stage)


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
    letters: DeadLetterReader = request.app.state.dead_letters
    try:
        found = DeadLetters(*await letters.newest(wanted.limit, wanted.wanted))
    except ServiceFailed as problem:
        return problems.problem(503, "kafka_unavailable", problem.message, {"Retry-After": str(problems.RETRY_AFTER_S)})
    return Response(msgspec.json.encode(found), media_type="application/json")


class DeadLetterReader:
    """Reads the newest dead letters, one request after the other, over a connection that is kept for a while."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._turn = asyncio.Lock()
        self._kafka: KafkaLog | None = None
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

    async def newest(self, count: int, wanted: Callable[[Refused], bool]) -> tuple[list[Refused], bool]:
        """As `operations.dead_letters.newest`. Raises ServiceFailed."""
        try:
            async with asyncio.timeout(TIMEOUT_S), self._turn:
                self._asked.set()
                try:
                    if self._kafka is None:
                        self._kafka = await self._connected()
                    found = await newest(self._kafka, count, wanted, limit_s=SEARCH_S)
                    self._kafka.rest()
                    return found
                except BaseException:
                    await self._disconnect()
                    raise
        except TimeoutError:
            raise ServiceFailed(f"Kafka at {self._brokers} does not answer in time") from None

    async def _connected(self) -> KafkaLog:
        known = await partitions_of(self._brokers)
        if DEAD_LETTER not in known:
            raise ServiceFailed(f"Kafka has no topic {DEAD_LETTER}", hint="run: bdemo migrate")
        kafka = KafkaLog(self._brokers, known[DEAD_LETTER], patience_s=0, notify=lambda _: None)
        return await self._held.enter_async_context(kafka)

    async def _disconnect(self) -> None:
        self._kafka = None
        await self._held.aclose()
