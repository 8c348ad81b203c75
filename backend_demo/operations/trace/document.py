"""A trace as a JSON document: printed by `bdemo trace -o json`, and sent by the gateway state by state. Pure."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NotRequired, cast

from typing_extensions import TypedDict

from backend_demo.operations.trace.path import Refusal, Trace, TraceOutcome

SCHEMA: Literal["bdemo.trace/1"] = "bdemo.trace/1"


class TraceHop(TypedDict):
    """A place that the reading has reached."""

    name: str
    service: str
    after: str | None
    """The hop that leads there."""
    when: float
    """Epoch seconds."""
    since_previous_ms: float
    since_start_ms: float
    value: str | None
    topic: str | None
    partition: int | None
    offset: int | None
    key: str | None


class TraceProblem(TypedDict):
    """Why a trace that the gateway sends ended early, or badly."""

    code: str
    detail: str
    hint: str


class TraceDocument(TypedDict):
    """How far a reading has come."""

    schema: Literal["bdemo.trace/1"]
    sensor: int
    timestamp: float | None
    """The sensor's time, epoch seconds; null: the message holds no reading."""
    value: float | None
    outcome: TraceOutcome | Literal["failed"]
    """`failed`: the trace itself ended early; only from the gateway."""
    total_ms: float
    refusal: Refusal | None
    hops: list[TraceHop]
    missing: list[str]
    """Hops that it has not reached yet."""
    stands_before: list[str]
    """Those of them that come next."""
    troubles: dict[str, str]
    """What is wrong at a hop."""
    problem: NotRequired[TraceProblem]
    """Only from the gateway, in the last state."""


def document(trace: Trace) -> TraceDocument:
    """The trace in plain types; each hop with its place."""
    hops = []
    for hop in trace.hops:
        fields = dataclasses.asdict(hop)
        hops.append(cast(TraceHop, fields | fields.pop("place")))
    return TraceDocument(
        schema=SCHEMA,
        sensor=trace.sensor,
        timestamp=trace.timestamp,
        value=trace.value,
        outcome=trace.outcome,
        total_ms=trace.total_ms,
        refusal=cast(Any, trace.refusal and dataclasses.asdict(trace.refusal)),
        hops=hops,
        missing=[step.name for step in trace.missing],
        stands_before=[step.name for step in trace.stands_before],
        troubles=trace.troubles,
    )
