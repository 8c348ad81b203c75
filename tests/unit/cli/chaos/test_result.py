"""What a chaos run prints."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from backend_demo.cli.chaos.course import FaultRun
from backend_demo.cli.chaos.result import ChaosResult, LoadFigures, fault_figures, problem_of, view
from backend_demo.cli.render import show
from backend_demo.cli.verify import document
from backend_demo.domain.fault import ServiceFault
from backend_demo.domain.verdict import Finding, Verdict
from backend_demo.errors import TimedOut, VerificationFailed
from tests.support.schemas import check

RIGHT = Verdict(ledger=100, acked=100, readings=100, averages=100)
RUNS = (
    FaultRun(ServiceFault(5, "kill", "kafka"), 5.04, 5.06, 12.345, over=True),
    FaultRun(ServiceFault(20, "pause", "loader", 10), 20.01, 30.02, 1.5, over=True),
    FaultRun(ServiceFault(40, "kill", "loader"), problem="loader does not run", over=True),
)


def result(verdict: Verdict = RIGHT, runs: tuple[FaultRun, ...] = RUNS, *, interrupted: bool = False) -> ChaosResult:
    return ChaosResult(
        passed=verdict.passed,
        scenario=None,
        seed=1,
        seconds=60.0,
        interrupted=interrupted,
        load=LoadFigures(sensors=20, first_sensor=900_001, rate=10.0, sent=12_000, acknowledged=12_000, failed=0),
        faults=tuple(map(fault_figures, runs)),
        verdict=document(verdict),
    )


def test_what_people_see(capsys: pytest.CaptureFixture[str]) -> None:
    show(result(), "table", lambda found: view(found, RIGHT), problem=None)
    printed = " ".join(capsys.readouterr().out.split())
    assert "5.0 kill kafka 12.3" in printed
    assert "20.0 pause loader 10.0 1.5" in printed
    assert "40.0 kill loader not done" in printed
    assert "recovery: median 6.9 s, longest 12.3 s" in printed
    assert "nothing is wrong: 100 of 100 readings acknowledged" in printed


def test_the_document_fits_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    show(result(), "json", lambda found: ())
    found = check(json.loads(capsys.readouterr().out))
    assert found["faults"][0]["recovered_s"] == 12.35
    assert found["faults"][2]["began_s"] is None


def test_nothing_is_wrong_with_a_fault_that_was_not_done() -> None:
    assert problem_of(result(), RIGHT) is None


def test_a_stack_that_has_not_recovered_is_an_error() -> None:
    never = (*RUNS, replace(RUNS[0], recovered_s=None))
    problem = problem_of(result(runs=never), RIGHT)
    assert isinstance(problem, TimedOut)
    assert "kill kafka" in problem.message
    assert problem_of(result(runs=never, interrupted=True), RIGHT) is None


def test_loss_is_the_error_whatever_else_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    lost = Verdict(ledger=100, acked=100, readings=99, averages=99)
    lost.lost.add(Finding(900_001, 1.5, 21.0, None))
    found = result(lost, (*RUNS, replace(RUNS[0], recovered_s=None)))
    problem = problem_of(found, lost)
    assert isinstance(problem, VerificationFailed)
    assert problem.message.startswith("1 reading was lost")
    with pytest.raises(VerificationFailed):
        show(found, "table", lambda found: view(found, lost), problem=problem)
    assert "readings lost" in capsys.readouterr().out
