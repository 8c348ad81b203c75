"""Replaying and dismissing dead letters: /v1/dead-letters/replay, /v1/dead-letters/dismiss."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from backend_demo.described import described
from backend_demo.domain.names import name_problem
from backend_demo.domain.reading import epoch_seconds, finite_number
from backend_demo.domain.replay import Edit
from backend_demo.errors import ServiceFailed
from backend_demo.gateway import problems
from backend_demo.gateway.routes.dead_letters import DeadLetterReader, unavailable
from backend_demo.gateway.routes.parameters import json_only
from backend_demo.operations.dead_letters.letter_log import Letter, LetterLog
from backend_demo.operations.dead_letters.refused import letter_id
from backend_demo.operations.dead_letters.replay import LetterReplay, limits_of, plan, replayer

#: Most dead letters of one request.
IDS_MAX = 100
#: Time limit of a request, seconds.
TIMEOUT_S = 20.0

router = APIRouter(prefix="/v1", tags=["v1"])


def _sensor(given: Any) -> Any:
    text = str(given) if isinstance(given, int | str) and not isinstance(given, bool) else ""
    problem = name_problem(text)
    if problem is not None:
        raise ValueError(problem)
    return text


def _value(given: Any) -> Any:
    found = finite_number(given) if isinstance(given, int | float | str) and not isinstance(given, bool) else None
    if given is not None and found is None:
        raise ValueError("not a finite number")
    return found


def _timestamp(given: Any) -> Any:
    found = epoch_seconds(given) if isinstance(given, int | float | str) and not isinstance(given, bool) else None
    if given is not None and found is None:
        raise ValueError("neither epoch seconds nor an RFC 3339 time")
    return found


LetterIds = Annotated[
    list[Annotated[str, Field(pattern=r"^[0-9]{1,9}:[0-9]{1,18}$")]],
    Field(min_length=1, max_length=IDS_MAX, examples=[["3:471100"]], description="Ids as in `/v1/dead-letters`."),
]


class Changes(BaseModel):
    """What is sent in place of what the dead letter has; null: as it is there."""

    model_config = ConfigDict(extra="forbid")

    sensor: Annotated[str | None, BeforeValidator(lambda given: None if given is None else _sensor(given))] = Field(
        None, description="Number or name."
    )
    value: Annotated[float | None, BeforeValidator(_value)] = Field(None, description="Degrees Celsius.")
    timestamp: Annotated[float | None, BeforeValidator(_timestamp)] = Field(
        None, description="The sensor's time: epoch seconds or RFC 3339."
    )


class ReplayRequest(BaseModel):
    """Which dead letters are replayed, and how."""

    model_config = ConfigDict(extra="forbid")

    ids: LetterIds
    set: Changes = Changes()
    dry_run: bool = Field(False, strict=True, description="Send nothing: the outcomes are those that would be.")


class DismissRequest(BaseModel):
    """Which dead letters are dismissed."""

    model_config = ConfigDict(extra="forbid")

    ids: LetterIds


@described
@dataclass(frozen=True)
class Replays:
    """What became of each dead letter."""

    dead_letters: Sequence[LetterReplay]


@described
@dataclass(frozen=True)
class Dismissed:
    """How many dead letters were open and are dismissed."""

    dismissed: int


_EXAMPLE = {
    "dead_letters": [
        {
            "id": "3:471100",
            "outcome": "replayed",
            "reason": None,
            "detail": None,
            "readings": [{"sensor": "7", "timestamp": 1664000000.25, "value": 21.5}],
        }
    ]
}
_PROBLEMS = problems.responses(
    _400="The body is not UTF-8 text, or nested too deeply.",
    _403="The gateway requires tokens, which are read-only; or a page of another origin asks.",
    _404="There is no dead letter with one of the ids; nothing was changed.",
    _413="The body is too large.",
    _415="The body is not JSON.",
    _422="The body is invalid.",
    _503="Kafka is unavailable. Repeat the request: what has begun is finished, and nothing is stored twice.",
)


@router.post(
    "/dead-letters/replay",
    response_model=Replays,
    summary="Send dead letters through the pipeline again",
    dependencies=[Depends(json_only)],
    responses={200: {"content": {"application/json": {"example": _EXAMPLE}}}, **_PROBLEMS},
)
async def replay(request: Request, wanted: ReplayRequest) -> Response:
    """Each exactly once: the reading is sent to the first topic, and the dead letter is marked as replayed.

    What the pipeline would refuse again is not sent (`refused`). `set` is for a single reading.
    """
    settings = request.app.state.settings
    edit = Edit(wanted.set.sensor, wanted.set.timestamp, wanted.set.value)
    try:
        async with _reader(request).letters(TIMEOUT_S) as letters:
            found = await _found(letters, wanted.ids)
            if isinstance(found, Response):
                return found
            planned = plan(found, edit, limits_of(settings), time.time())
            if wanted.dry_run:
                return _json(Replays([each.result for each in planned]))
            async with replayer(settings, letters) as sender:
                return _json(Replays(await sender.replay(planned)))
    except ServiceFailed as problem:
        return unavailable(problem)


@router.post(
    "/dead-letters/dismiss",
    response_model=Dismissed,
    summary="Mark dead letters as dismissed",
    dependencies=[Depends(json_only)],
    responses={200: {"content": {"application/json": {"example": {"dismissed": 1}}}}, **_PROBLEMS},
)
async def dismiss(request: Request, wanted: DismissRequest) -> Response:
    """They stay in Kafka, and can still be replayed. Those that are not open are left as they are."""
    try:
        async with _reader(request).letters(TIMEOUT_S) as letters:
            found = await _found(letters, wanted.ids)
            if isinstance(found, Response):
                return found
            async with replayer(request.app.state.settings, letters) as marker:
                return _json(Dismissed(await marker.dismiss(found)))
    except ServiceFailed as problem:
        return unavailable(problem)


def _reader(request: Request) -> DeadLetterReader:
    return request.app.state.dead_letters  # type: ignore[no-any-return]


async def _found(letters: LetterLog, ids: Sequence[str]) -> list[Letter] | Response:
    places = [letter_id(text) for text in dict.fromkeys(ids)]
    found = await letters.by_id(places)
    missing = [f"{partition}:{offset}" for partition, offset in places if (partition, offset) not in found]
    if missing:
        return problems.problem(404, "unknown_dead_letter", f"no dead letter {', '.join(missing[:5])}")
    return [found[place] for place in places]


def _json(answer: object) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
