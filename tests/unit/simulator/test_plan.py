"""When readings fall due."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.errors import UsageError
from backend_demo.simulator.plan import Plan

plans = st.builds(
    Plan,
    sensors=st.integers(1, 1000),
    rate=st.floats(0.01, 1000),
    ramp_s=st.one_of(st.just(0.0), st.floats(0.01, 100)),
)
elapsed = st.floats(0, 50)


@given(plans, st.integers(0, 10**6))
def test_readings_fall_due_one_after_the_other(plan: Plan, number: int) -> None:
    assert plan.due_s(0) == 0
    assert plan.due_s(number) < plan.due_s(number + 1)


@given(plans, elapsed)
def test_due_before_counts_exactly_what_is_due(plan: Plan, elapsed_s: float) -> None:
    number = plan.due_before(elapsed_s)
    assert plan.due_s(number) >= elapsed_s
    assert number == 0 or plan.due_s(number - 1) < elapsed_s


@given(plans)
def test_after_the_ramp_the_rate_is_steady(plan: Plan) -> None:
    begin = math.ceil(plan.sensors * plan.rate * plan.ramp_s / 2)
    assert plan.due_s(begin) == pytest.approx(plan.ramp_s, abs=1 / (plan.sensors * plan.rate))
    assert plan.due_s(begin + 100) - plan.due_s(begin) == pytest.approx(100 / (plan.sensors * plan.rate), rel=1e-6)


@pytest.mark.parametrize(
    ("plan", "total"),
    [
        (Plan(sensors=5, rate=10, duration_s=60), 3000),
        (Plan(sensors=3, rate=0.1, duration_s=10), 3),
        (Plan(sensors=5, rate=10, duration_s=60, ramp_s=20), 2500),
        (Plan(sensors=5, rate=10, duration_s=60, count=7), 7),
        (Plan(sensors=5, rate=10, duration_s=0.1, count=700), 5),
        (Plan(count=7), 7),
        (Plan(), None),
    ],
)
def test_the_total(plan: Plan, total: int | None) -> None:
    assert plan.total == total


@pytest.mark.parametrize(
    "wrong",
    [
        {"sensors": 0},
        {"sensors": -1},
        {"rate": 0.0},
        {"rate": math.nan},
        {"rate": math.inf},
        {"rate": -1.0},
        {"count": 0},
        {"count": -5},
        {"duration_s": 0.0},
        {"batch": 0},
        {"qos": 3},
        {"connections": 0},
        {"connections": 10**6},
        {"ramp_s": -1.0},
        {"flush_s": math.nan},
        {"model": "cubic"},
    ],
)
def test_what_cannot_be_simulated_is_a_usage_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Plan(**wrong)
