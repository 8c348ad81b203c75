"""Quantiles, values between samples, the run in the middle; a frozen process goes on whatever happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.operations.bench.figures import median_run, quantile, spread, value_at


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed(values: list[float], share: float) -> None:
    ordered = sorted(values)
    expected = min(value for value in ordered if sum(other <= value for other in ordered) >= share * len(ordered))
    assert quantile(ordered, share) == expected


def test_a_spread_is_in_milliseconds() -> None:
    found = spread([0.003, 0.001, 0.002])
    assert (found.p50_ms, found.p99_ms, found.max_ms) == (2.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("when", "expected"), [(0.0, 10.0), (1.0, 10.0), (2.0, 15.0), (3.0, 20.0), (4.5, 25.0), (9.0, 30.0)]
)
def test_a_value_between_samples_lies_on_the_line(when: float, expected: float) -> None:
    assert value_at([1.0, 3.0, 6.0], [10.0, 20.0, 30.0], when) == expected


def test_the_run_in_the_middle_stands_for_all() -> None:
    assert median_run([5, 1, 3], float) == 3
    assert median_run([4, 1, 3, 2], float) == 2
