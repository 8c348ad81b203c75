"""What a sensor measures."""

from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.simulator.noise import noise
from backend_demo.simulator.value_models import DAY, HIGH, LOW, MODELS, SPIKE_HIGH, STEP_MAX, TOOTH, value

models = st.sampled_from(sorted(MODELS))
kinds = st.sampled_from(["int", "float"])
seeds = st.integers(-(2**63), 2**63)
sensors = st.integers(1, 10**9)
indices = st.integers(0, 10**9)


def series(model: str, count: int, *, kind: str = "float", seed: int = 0, sensor: int = 1) -> list[float]:
    return [value(model, kind, seed, sensor, index) for index in range(count)]  # type: ignore[arg-type]


@given(st.lists(st.integers(), max_size=5))
def test_noise_is_a_fraction_and_always_the_same(key: list[int]) -> None:
    assert 0 <= noise(*key) < 1
    assert noise(*key) == noise(*key)


def test_noise_is_even_and_neighbours_have_nothing_in_common() -> None:
    shares = [noise(7, sensor, index) for sensor in range(100) for index in range(100)]
    assert abs(statistics.mean(shares) - 0.5) < 0.01
    assert abs(statistics.correlation(shares[:-1], shares[1:])) < 0.03
    assert abs(statistics.correlation(shares[:-100], shares[100:])) < 0.03
    assert len(set(shares)) == len(shares)


@given(models, kinds, seeds, sensors, indices)
def test_a_value_depends_on_its_place_only_and_is_plausible(
    model: str, kind: str, seed: int, sensor: int, index: int
) -> None:
    measured = value(model, kind, seed, sensor, index)  # type: ignore[arg-type]
    assert measured == value(model, kind, seed, sensor, index)  # type: ignore[arg-type]
    assert LOW <= measured <= (SPIKE_HIGH if model == "spikes" else HIGH)
    assert isinstance(measured, int) if kind == "int" else measured == round(measured, 2)


@pytest.mark.parametrize("model", sorted(MODELS))
def test_another_seed_or_sensor_measures_something_else(model: str) -> None:
    here = series(model, 200)
    assert here == series(model, 200)
    assert here != series(model, 200, seed=1)
    assert here != series(model, 200, sensor=2)


def test_uniform_fills_the_range_of_the_original() -> None:
    assert set(series("uniform", 2000, kind="int")) == set(range(20, 31))
    assert 24.7 < statistics.mean(series("uniform", 2000)) < 25.3


@given(seeds, sensors, indices)
def test_a_walk_moves_in_small_steps(seed: int, sensor: int, index: int) -> None:
    here, there = (MODELS["random-walk"](seed, sensor, index + step) for step in (0, 1))
    assert abs(there - here) <= STEP_MAX + 1e-9
    assert STEP_MAX < 0.2


def test_a_walk_goes_somewhere() -> None:
    walk = series("random-walk", 5000)
    assert max(walk) - min(walk) > 4


def test_a_day_is_warm_and_a_night_is_cold() -> None:
    days = series("day-night", 2 * DAY)
    assert max(days) > 29
    assert min(days) < 21
    assert all(abs(today - tomorrow) <= 1.01 for today, tomorrow in zip(days, days[DAY:], strict=False))


def test_constant_never_moves() -> None:
    assert len(set(series("constant", 500))) == 1


def test_a_sawtooth_climbs_and_falls_at_once() -> None:
    teeth = series("sawtooth", 3 * TOOTH)
    falls = [index for index in range(1, len(teeth)) if teeth[index] < teeth[index - 1]]
    assert len(falls) in (2, 3)
    assert all(later - earlier == TOOTH for earlier, later in itertools.pairwise(falls))


def test_spikes_are_rare_and_high() -> None:
    spikes = series("spikes", 4000)
    assert 0.01 < sum(measured > 50 for measured in spikes) / len(spikes) < 0.04
    assert not any(22.01 < measured < 60 for measured in spikes)
