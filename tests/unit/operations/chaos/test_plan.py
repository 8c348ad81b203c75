"""Random faults: the same seed makes the same plan, and every plan can be carried out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.fault import KINDS, first_clash
from backend_demo.errors import UsageError
from backend_demo.operations.chaos.plan import CALM_S, SHORTEST_S, random_plan

TARGETS = ("kafka", "postgres", "processing", "processing-2", "loader")


@given(st.integers(), st.floats(SHORTEST_S, 3600), st.integers(1, len(TARGETS)))
def test_a_plan(seed: int, duration_s: float, count: int) -> None:
    targets = TARGETS[:count]
    plan = random_plan(seed, duration_s, targets)
    assert plan == random_plan(seed, duration_s, targets)
    assert plan
    assert {fault.target for fault in plan} <= set(targets)
    assert first_clash(plan) is None
    assert all(fault.kind != "pause" or fault.for_s > 0 for fault in plan)
    assert plan[0].at_s > 0
    assert plan[-1].end_s <= duration_s - CALM_S + 0.2
    assert all(before.end_s < after.at_s for before, after in pairwise(plan))
    if count > 1:
        assert all(before.target != after.target for before, after in pairwise(plan))


def test_seeds_differ_and_a_long_plan_has_everything() -> None:
    plan = random_plan(1, 3600, TARGETS)
    assert plan != random_plan(2, 3600, TARGETS)
    assert {fault.target for fault in plan} == set(TARGETS)
    assert {fault.kind for fault in plan} == set(KINDS)
    assert {fault.for_s > 0 for fault in plan if fault.kind == "kill"} == {True, False}


def test_a_plan_does_not_change_from_one_version_to_the_next() -> None:
    plan = random_plan(1, 60, TARGETS)
    assert [(fault.at_s, fault.kind, fault.target, fault.for_s) for fault in plan] == [
        (4.5, "kill", "kafka", 7.8),
        (32.9, "kill", "postgres", 0.0),
        (49.7, "pause", "kafka", 0.3),
    ]


@pytest.mark.parametrize("duration_s", [1.0, 29.9, 86_401.0, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_refused(duration_s: float) -> None:
    with pytest.raises(UsageError, match="--for"):
        random_plan(1, duration_s, TARGETS)
