"""Metrics that are moved in bulk come out as if each observation had been made by itself."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram

from backend_demo.metrics import observe_ages, observe_waits

NOW = 1_800_000_000.0

#: Ages in sixteenths of a second: exact in binary, on the buckets' bounds and beside them, some of times to come.
ages = st.integers(-32, 80).map(lambda sixteenths: sixteenths / 16)


def samples(histogram: Histogram) -> dict[tuple[str, str], float]:
    (metric,) = histogram.collect()
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def histogram() -> Histogram:
    return Histogram("age", "Seconds.", buckets=(0.25, 0.5, 1, 2), registry=None)


@given(st.lists(st.lists(ages), min_size=1, max_size=4))
def test_ages_are_observed_at_once_as_one_by_one(batches: list[list[float]]) -> None:
    """What lies ahead of now is new."""
    at_once, one_by_one = histogram(), histogram()
    for batch in batches:
        observe_ages([at_once], NOW, [NOW - age for age in batch])
        for age in batch:
            one_by_one.observe(max(0.0, age))
    assert samples(at_once) == samples(one_by_one)


def test_the_sum_of_a_large_batch_is_right() -> None:
    """It is a difference of two sums of epoch seconds."""
    at_once = histogram()
    observe_ages([at_once], NOW, [NOW - 0.02] * 20_000)
    assert samples(at_once)["age_sum", ""] == pytest.approx(400, rel=1e-3)


@dataclass
class Record:
    timestamp: int


@given(st.lists(ages))
def test_waits_are_observed_at_once_as_one_by_one(batch: list[float]) -> None:
    """Records that stand in the order of their time; their sum is right but for the spread within a bucket."""
    at_once, one_by_one = histogram(), histogram()
    times = [round((NOW - age) * 1000) for age in sorted(batch, reverse=True)]
    observe_waits(at_once, NOW, [Record(time) for time in times])
    for time in times:
        one_by_one.observe(max(0.0, NOW - time / 1000))
    found, expected = samples(at_once), samples(one_by_one)
    widest = 5.0  # the last bucket's: ages end there
    assert found.pop(("age_sum", "")) == pytest.approx(expected.pop(("age_sum", "")), abs=len(batch) * widest / 2)
    assert found == expected


def test_waits_of_one_time_add_up() -> None:
    waits = histogram()
    observe_waits(waits, NOW, [Record(round(NOW * 1000) - 300)] * 10)
    assert samples(waits)["age_sum", ""] == pytest.approx(3)


@given(st.lists(ages))
def test_every_record_counts_once_in_whatever_order(batch: list[float]) -> None:
    """A producer that sent again may have put an older time behind a newer one."""
    waits = histogram()
    observe_waits(waits, NOW, [Record(round((NOW - age) * 1000)) for age in batch])
    assert samples(waits)["age_bucket", "+Inf"] == len(batch)
