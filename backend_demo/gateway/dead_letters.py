"""The newest refused records, from Kafka: /v1/dead-letters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from backend_demo.domain.topics import DEAD_LETTER
from backend_demo.errors import ServiceFailed
from backend_demo.gateway import problems
from backend_demo.gateway.parameters import Parameters, SensorNumber
from backend_demo.operations.dead_letters import Refused, newest
from backend_demo.operations.kafka_log import KafkaLog, partitions_of

#: The search for those of a sensor or a stage ends after this time.
SEARCH_S = 0.5
#: An answer that takes longer is none.
TIMEOUT_S = 5.0
#: The connection to Kafka is kept for so long: a page asks again and again.
KEEP_S = 30.0

router = APIRouter(prefix="/v1", tags=["v1"])


class DeadLetterModel(BaseModel):
    """A record or a payload that was refused."""

    id: str = Field(examples=["3:17"], description="Its own place in `dead-letter`: partition and offset.")
    time: float | None = Field(examples=[1664000000.123], description="When it was refused, epoch seconds.")
    stage: str = Field(examples=["collection"], description="Who refused it.")
    reason: str = Field(examples=["range"], description="Why, in a word.")
    detail: str = Field(examples=["250.0 is not between -100.0 and 200.0"], description="Why, in a sentence.")
    sensor: int | None = Field(examples=[1], description="Null: its origin names none.")
    topic: str = Field(examples=["sensor-data"], description="Its origin: a topic of Kafka, or of MQTT.")
    partition: int | None = Field(examples=[3], description="Null: it came by MQTT.")
    offset: int | None = Field(examples=[4711], description="Null: it came by MQTT.")
    payload: str | None = Field(
        examples=['{"value": 250, "timestamp": 1664000000.123}'], description="Its first 2000 bytes; null: none."
    )
    encoding: str = Field(examples=["utf-8"], description="`utf-8`: the payload is text; `base64`: it is none.")
    size: int = Field(examples=[43], description="Bytes of the whole payload.")
    truncated: bool = Field(description="The payload is longer than what stands here.")


class DeadLettersModel(BaseModel):
    """Dead letters, the newest first."""

    dead_letters: list[DeadLetterModel]
    truncated: bool = Field(
        description="There are older ones, or may be: a search for a sensor or a stage looks back for half a second."
    )


class DeadLettersParameters(Parameters):
    """Which dead letters."""

    limit: Annotated[int, Field(ge=1, le=1000, description="How many at most.")] = 50
    sensor: Annotated[SensorNumber | None, Field(description="Only this sensor's.")] = None
    stage: Annotated[
        str | None, Field(max_length=50, description="Only what this stage refused, such as `collection`.")
    ] = None

    def wanted(self, letter: Refused) -> bool:
        """Whether it is one of those."""
        return self.sensor in (None, letter.sensor) and self.stage in (None, letter.stage)


@router.get(
    "/dead-letters",
    response_model=DeadLettersModel,
    summary="The newest refused records, and why",
    responses=problems.responses(_422="A parameter is wrong.", _503="Kafka is away; try again."),
)
async def dead_letters(request: Request, wanted: Annotated[DeadLettersParameters, Query()]) -> Response:
    """Newest first, by the time at which they were refused."""
    letters: DeadLetters = request.app.state.dead_letters
    try:
        found, more = await letters.newest(wanted.limit, wanted.wanted)
    except ServiceFailed as problem:
        return problems.problem(503, "kafka_unavailable", problem.message, {"Retry-After": str(problems.RETRY_AFTER_S)})
    body = msgspec.json.encode({"dead_letters": found, "truncated": more})
    return Response(body, media_type="application/json")


class DeadLetters:
    """Reads the newest dead letters, one question after the other, on a connection that is kept for a while."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._turn = asyncio.Lock()
        self._kafka: KafkaLog | None = None
        self._held = contextlib.AsyncExitStack()
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Ends the connection when nobody has asked for a while, and in the end."""
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
            raise ServiceFailed(f"Kafka at {self._bootstrap} does not answer in time") from None

    async def _connected(self) -> KafkaLog:
        known = await partitions_of(self._bootstrap)
        if DEAD_LETTER not in known:
            raise ServiceFailed(f"Kafka has no topic {DEAD_LETTER}", hint="run: bdemo migrate")
        kafka = KafkaLog(self._bootstrap, known[DEAD_LETTER], patience_s=0, notify=lambda _: None)
        return await self._held.enter_async_context(kafka)

    async def _disconnect(self) -> None:
        self._kafka = None
        await self._held.aclose()
