"""What a chaos run found, as JSON and for people."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from backend_demo.cli import render, verify
from backend_demo.domain.fault import FaultKind
from backend_demo.errors import BdemoError, TimedOut

if TYPE_CHECKING:
    from backend_demo.cli.chaos.course import FaultRun
    from backend_demo.domain.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class LoadFigures:
    """What the sensors of the run have sent."""

    sensors: int
    first_sensor: int
    rate: float
    """Readings per second and sensor."""
    sent: int
    acknowledged: int
    failed: int
    """Not acknowledged in time: they may have arrived all the same."""


@dataclass(frozen=True, kw_only=True)
class FaultFigures:
    """One fault. Times are seconds after the start of the run."""

    kind: FaultKind
    target: str
    at_s: float
    for_s: float
    began_s: float | None
    """Null: it was not done."""
    ended_s: float | None
    recovered_s: float | None
    """From its end until all services were ready and each sensor's newest average at most seconds old; null: never."""
    problem: str
    """Why it was not done."""


@dataclass(frozen=True, kw_only=True)
class ChaosResult:
    """A chaos run: its faults, and whether anything was lost, stored twice or wrong."""

    schema: Literal["bdemo.chaos.run/1"] = "bdemo.chaos.run/1"
    passed: bool
    scenario: str | None
    seed: int | None
    """Of random faults; null for a scenario."""
    seconds: float
    interrupted: bool
    load: LoadFigures
    faults: tuple[FaultFigures, ...]
    verdict: verify.Document


def fault_figures(run: FaultRun) -> FaultFigures:
    """The fault as it is printed."""
    return FaultFigures(
        kind=run.fault.kind,
        target=run.fault.target,
        at_s=run.fault.at_s,
        for_s=run.fault.for_s,
        began_s=_rounded(run.began_s),
        ended_s=_rounded(run.ended_s),
        recovered_s=_rounded(run.recovered_s),
        problem=run.problem,
    )


def problem_of(result: ChaosResult, verdict: Verdict) -> BdemoError | None:
    """The error of a run; None when nothing was wrong."""
    if (wrong := verify.problem(verdict)) is not None:
        return wrong
    never = [fault for fault in result.faults if fault.ended_s is not None and fault.recovered_s is None]
    if never and not result.interrupted:
        named = ", ".join(f"{fault.kind} {fault.target}" for fault in never)
        return TimedOut(f"the stack has not recovered from: {named}", hint="see: bdemo status, bdemo logs")
    return None


def view(result: ChaosResult, verdict: Verdict) -> render.View:
    """The faults with their recovery, and the verdict."""
    rows = [
        (
            _number(fault.at_s if fault.began_s is None else fault.began_s),
            fault.kind,
            fault.target,
            _number(fault.for_s) if fault.for_s else "",
            _recovery(fault),
        )
        for fault in result.faults
    ]
    yield render.Table(("at s>", "fault", "service", "for s>", "well again after s>"), rows)
    found = [fault.recovered_s for fault in result.faults if fault.recovered_s is not None]
    if found:
        yield f"recovery: median {statistics.median(found):.1f} s, longest {max(found):.1f} s"
    load = result.load
    yield f"load: {load.sent:,} readings of {load.sensors:,} sensors in {result.seconds:.0f} s"
    if verdict.passed:
        yield verify.summary(verdict)
    else:
        yield from verify.view(verdict)


def _recovery(fault: FaultFigures) -> str:
    if fault.recovered_s is not None:
        return _number(fault.recovered_s)
    return "not done" if fault.ended_s is None else "never seen"


def _number(seconds: float) -> str:
    return f"{seconds:.1f}"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
