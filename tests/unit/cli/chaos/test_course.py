"""The course of a chaos run, with faults that break nothing."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from backend_demo.cli.chaos import course as courses
from backend_demo.cli.chaos.course import Course
from backend_demo.domain.fault import FaultKind, ServiceFault
from backend_demo.errors import NoStack, ServiceFailed


class Maker:
    """Notes what it is asked to do."""

    def __init__(self) -> None:
        self.done: list[tuple[str, tuple[str, ...], bool]] = []
        self.broken: set[str] = set()

    @contextmanager
    def fault(self, kind: FaultKind, copies: Collection[str], *, held: bool) -> Iterator[None]:
        self.done.append((kind, tuple(copies), held))
        self.broken |= set(copies)
        yield
        self.broken -= set(copies)


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Maker:
    def victims(maker: Any, target: str) -> list[str]:
        if target == "gone" or (target == "late" and not maker.done):
            raise ServiceFailed(f"{target} does not run")
        return [target]

    monkeypatch.setattr(courses, "victims", victims)
    monkeypatch.setattr(courses, "LOOK_S", 0.01)
    monkeypatch.setattr(courses, "WAIT_S", 0.5)
    return Maker()


def course(maker: Maker, *faults: ServiceFault, stop: threading.Event | None = None, **more: Any) -> Course:
    lines = more.pop("lines", [])
    well = more.pop("well", lambda: not maker.broken)
    return Course(faults, maker, well, lambda at_s, what: lines.append(what), stop or threading.Event())  # type: ignore[arg-type]


def nothing() -> None:
    """Looks at nothing."""


def test_each_fault_is_done_and_its_recovery_is_seen(maker: Maker) -> None:
    lines: list[str] = []
    run = course(maker, ServiceFault(0.0, "kill", "loader"), ServiceFault(0.05, "pause", "kafka", 0.1), lines=lines)
    run.follow(0.0, nothing)
    assert maker.done == [("kill", ("loader",), False), ("pause", ("kafka",), True)]
    killed, paused = run.runs
    assert killed.began_s is not None
    assert paused.began_s is not None
    assert paused.ended_s is not None
    assert paused.ended_s - paused.began_s >= 0.1
    assert all(each.recovered_s is not None and each.recovered_s >= 0 for each in run.runs)
    assert lines[0] == "kill loader"
    assert "pause kafka, for 0.1 s" in lines
    assert lines[-1].startswith("pause kafka: all well again after")


def test_nothing_has_recovered_while_another_fault_lasts(maker: Maker) -> None:
    run = course(maker, ServiceFault(0.0, "pause", "kafka", 0.5), ServiceFault(0.2, "kill", "loader"))
    run.follow(0.0, nothing)
    paused, killed = run.runs
    assert paused.ended_s is not None
    assert killed.ended_s is not None
    assert killed.recovered_s is not None
    assert killed.ended_s + killed.recovered_s >= paused.ended_s


def test_it_lasts_as_long_as_it_was_asked_to(maker: Maker) -> None:
    run = course(maker, ServiceFault(0.0, "kill", "loader"))
    run.follow(0.3, nothing)
    assert run.elapsed_s() >= 0.3


def test_what_cannot_be_done_is_told_and_the_rest_is_done(maker: Maker) -> None:
    run = course(maker, ServiceFault(0.0, "kill", "gone"), ServiceFault(0.0, "kill", "loader"))
    run.follow(0.0, nothing)
    assert [each.problem for each in run.runs] == ["gone does not run", ""]
    assert run.runs[0].began_s is None
    assert run.runs[1].recovered_s is not None


def test_a_fault_waits_until_its_service_runs(maker: Maker) -> None:
    run = course(maker, ServiceFault(0.0, "kill", "late"), ServiceFault(0.1, "kill", "loader"))
    run.follow(0.0, nothing)
    assert [copies for _, copies, _ in maker.done] == [("loader",), ("late",)]
    assert (run.runs[0].began_s or 0) >= 0.1


def test_a_stack_that_does_not_recover_is_not_waited_for_without_end(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courses, "RECOVERY_LIMIT_S", 0.1)
    run = course(maker, ServiceFault(0.0, "kill", "loader"), well=lambda: False)
    run.follow(0.0, nothing)
    assert run.runs[0].over
    assert run.runs[0].recovered_s is None


def test_when_it_is_stopped_faults_end_and_later_ones_are_not_begun(maker: Maker) -> None:
    stop = threading.Event()
    run = course(maker, ServiceFault(0.0, "pause", "kafka", 60), ServiceFault(30, "kill", "loader"), stop=stop)

    def look() -> None:
        if maker.done:
            stop.set()

    run.follow(60, look)
    assert maker.done == [("pause", ("kafka",), True)]
    assert not maker.broken
    assert run.runs[1].began_s is None


def test_an_error_of_a_look_ends_all_faults(maker: Maker) -> None:
    run = course(maker, ServiceFault(0.0, "pause", "kafka", 60))

    def look() -> None:
        if maker.done:
            raise NoStack("here")

    with pytest.raises(NoStack):
        run.follow(60, look)
    assert not maker.broken
