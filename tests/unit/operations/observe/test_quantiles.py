"""Quantiles of histogram buckets."""

from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend_demo.operations.observe.quantiles import quantile

BOUNDS = (0.1, 0.5, 1.0, 2.0, math.inf)


def buckets(observed: list[float]) -> dict[float, float]:
    return {bound: float(sum(value <= bound for value in observed)) for bound in BOUNDS}


def test_within_a_bucket_observations_count_as_spread_evenly() -> None:
    found = {0.1: 0.0, 0.5: 10.0, 1.0: 20.0, math.inf: 20.0}
    assert quantile(0.5, found) == pytest.approx(0.5)
    assert quantile(0.75, found) == pytest.approx(0.75)
    assert quantile(0.25, found) == pytest.approx(0.3)


def test_of_the_last_bucket_only_the_lower_bound_is_known() -> None:
    assert quantile(0.99, {1.0: 0.0, 2.0: 1.0, math.inf: 10.0}) == 2.0


@pytest.mark.parametrize("found", [{}, {1.0: 3.0}, {1.0: 0.0, math.inf: 0.0}, {math.inf: 3.0}])
def test_without_observations_or_bounds_there_is_none(found: dict[float, float]) -> None:
    assert quantile(0.5, found) is None


@given(st.lists(st.floats(0.001, 3), min_size=1), st.floats(0.01, 1))
def test_it_lies_in_the_bucket_of_the_true_quantile(observed: list[float], q: float) -> None:
    rank = q * len(observed)
    assume(abs(rank - round(rank)) > 1e-9)  # else the true one may be that of the bucket beside it
    true = sorted(observed)[math.ceil(rank) - 1]
    at = bisect_left(BOUNDS, true)
    found = quantile(q, buckets(observed))
    assert found is not None
    if BOUNDS[at] == math.inf:
        assert found == BOUNDS[at - 1]
    else:
        assert (BOUNDS[at - 1] if at else 0) <= found <= BOUNDS[at]


@given(st.lists(st.floats(0.001, 3), min_size=1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_it_grows_with_its_share(observed: list[float], one: float, other: float) -> None:
    low, high = (quantile(q, buckets(observed)) for q in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high


def test_counts_that_were_read_while_observations_went_on() -> None:
    assert quantile(0.5, {1.0: 5.0, 2.0: 4.0, math.inf: 5.0}) == pytest.approx(0.5)
