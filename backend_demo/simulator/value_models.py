"""What a sensor measures: a pure function of seed, sensor and the reading's index."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from backend_demo.simulator.noise import noise

ModelName = Literal["uniform", "random-walk", "day-night", "constant", "sawtooth", "spikes"]
NumberKind = Literal["int", "float"]

#: What the sensors of the original measure, degrees Celsius; every model but `spikes` stays within.
LOW, HIGH = 20.0, 30.0
_MIDDLE, _SWING = (HIGH + LOW) / 2, (HIGH - LOW) / 2

#: Readings in one day of `day-night`: one each five minutes.
DAY = 288
#: Readings in which `sawtooth` climbs from LOW to HIGH.
TOOTH = 60
#: One in this many readings is a spike.
SPIKE_EVERY = 40
SPIKE_LOW, SPIKE_HIGH = 60.0, 90.0
#: Periods of the noises that make up a walk, readings; each swings as the square root of its period, as a walk does.
_OCTAVES = tuple((period, math.sqrt(period)) for period in (4, 16, 64, 256, 1024))
_OCTAVES_SWING = sum(swing for _, swing in _OCTAVES)
#: The farthest that `random-walk` moves from one reading to the next.
STEP_MAX = _SWING / _OCTAVES_SWING * sum(2 * swing / period for period, swing in _OCTAVES)


def value(model: ModelName, kind: NumberKind, seed: int, sensor: int, index: int) -> float:
    """The sensor's reading number `index` (from 0): whole degrees (an int) or hundredths of them."""
    measured = MODELS[model](seed, sensor, index)
    return round(measured) if kind == "int" else round(measured, 2)


def _uniform(seed: int, sensor: int, index: int) -> float:
    return LOW + (HIGH - LOW) * noise(seed, sensor, index)


def _random_walk(seed: int, sensor: int, index: int) -> float:
    """A walk that never leaves its bounds: noises of growing period and swing, one upon the other."""
    return _MIDDLE + _SWING / _OCTAVES_SWING * sum(
        swing * (2 * _smooth_noise(seed, sensor, index, period) - 1) for period, swing in _OCTAVES
    )


def _smooth_noise(seed: int, sensor: int, index: int, period: int) -> float:
    """Noise at each multiple of the period, and straight lines between."""
    place, along = divmod(index, period)
    here, there = noise(seed, sensor, period, place), noise(seed, sensor, period, place + 1)
    return here + (there - here) * along / period


def _day_night(seed: int, sensor: int, index: int) -> float:
    """A sine with a little noise; the sensors' days begin up to an hour apart."""
    angle = math.tau * (index / DAY + noise(seed, sensor) / 24)
    return _MIDDLE + 0.9 * _SWING * math.sin(angle) + 0.1 * _SWING * (2 * noise(seed, sensor, index) - 1)


def _constant(seed: int, sensor: int, index: int) -> float:
    return LOW + (HIGH - LOW) * noise(seed, sensor)


def _sawtooth(seed: int, sensor: int, index: int) -> float:
    return LOW + (HIGH - LOW) * ((index + int(TOOTH * noise(seed, sensor))) % TOOTH) / (TOOTH - 1)


def _spikes(seed: int, sensor: int, index: int) -> float:
    """Near LOW, with a rare reading far above."""
    share = noise(seed, sensor, index)
    if noise(seed, sensor, index, 1) * SPIKE_EVERY < 1:
        return SPIKE_LOW + (SPIKE_HIGH - SPIKE_LOW) * share
    return LOW + 2 * share


MODELS: dict[ModelName, Callable[[int, int, int], float]] = {
    "uniform": _uniform,
    "random-walk": _random_walk,
    "day-night": _day_night,
    "constant": _constant,
    "sawtooth": _sawtooth,
    "spikes": _spikes,
}
