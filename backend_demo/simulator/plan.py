"""A simulation: what is asked for, when each reading falls due, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from backend_demo.domain.names import SENSOR_MAX
from backend_demo.errors import UsageError
from backend_demo.simulator.data_faults import Faults
from backend_demo.simulator.value_models import MODELS, ModelName, NumberKind

SENSORS_MAX = 1_000_000
#: Readings per second and sensor: below one a microsecond, the precision of a reading's time.
RATE_MAX = 100_000.0
CONNECTIONS_MAX = 1000


@dataclass(frozen=True)
class Plan:
    """What to simulate: so many sensors, their readings spread evenly over time. Raises UsageError."""

    sensors: int = 5
    first_sensor: int = 1
    sensor_step: int = 1
    """From one sensor's number to the next."""
    rate: float = 1.0
    """Readings per second and sensor."""
    duration_s: float | None = None
    count: int | None = None
    """Readings in all. Without `duration_s` and `count` the simulation runs until it is stopped."""
    ramp_s: float = 0.0
    """Seconds in which the rate grows from 0."""
    seed: int = 0
    model: ModelName = "uniform"
    kind: NumberKind = "float"
    topics: Literal["ours", "original"] = "ours"
    """`original`: the topics of the original's devices, and their payload, in which numbers are strings."""
    batch: int = 1
    """Readings in a message: more than 1 makes it an array."""
    qos: Literal[0, 1, 2] = 1
    connections: int = 4
    faults: Faults = field(default_factory=Faults)
    flush_s: float = 10.0
    """How long the end waits for the readings still due and for the acknowledgements still out."""

    def __post_init__(self) -> None:
        _check("sensors", self.sensors, 1, SENSORS_MAX)
        _check("first-sensor", self.first_sensor, 0, SENSOR_MAX - (self.sensors - 1) * self.sensor_step)
        _check("rate", self.rate, 1e-6, RATE_MAX)
        _check("ramp", self.ramp_s, 0, 86_400)
        _check("batch", self.batch, 1, 10_000)
        _check("connections", self.connections, 1, CONNECTIONS_MAX)
        _check("flush", self.flush_s, 0, 3600)
        if self.count is not None:
            _check("count", self.count, 1, 10**15)
        if self.duration_s is not None:
            _check("duration", self.duration_s, 1e-3, 10**10)
        if self.model not in MODELS or self.kind not in ("int", "float") or self.topics not in ("ours", "original"):
            raise UsageError(f"unknown model, kind or topics: {self.model}, {self.kind}, {self.topics}")
        if self.qos not in (0, 1, 2):
            raise UsageError(f"qos is {self.qos}", hint="choose 0, 1 or 2")

    def due_s(self, number: int) -> float:
        """When the reading of this number (from 0, over all sensors) falls due, seconds after the start."""
        steady = self.sensors * self.rate
        if number < steady * self.ramp_s / 2:
            return math.sqrt(2 * self.ramp_s * number / steady)
        return number / steady + self.ramp_s / 2

    def due_before(self, elapsed_s: float) -> int:
        """How many readings fall due before that many seconds after the start."""
        steady = self.sensors * self.rate
        if elapsed_s < self.ramp_s:
            number = math.ceil(steady * elapsed_s**2 / (2 * self.ramp_s))
        else:
            number = math.ceil(steady * (elapsed_s - self.ramp_s / 2))
        # the formula is due_s turned round, but for the last bit of its floats
        while number and self.due_s(number - 1) >= elapsed_s:
            number -= 1
        while self.due_s(number) < elapsed_s:
            number += 1
        return number

    @property
    def total(self) -> int | None:
        """Readings to measure in all; None when there is no end."""
        # a reading at the very end is after it, whatever the last bit of a float says: 3 sensors, 0.1/s, 10 s: 3
        in_time = None if self.duration_s is None else self.due_before(self.duration_s * (1 - 1e-12))
        ends = [end for end in (in_time, self.count) if end is not None]
        return min(ends) if ends else None


@dataclass(frozen=True)
class SimulationProgress:
    """A simulation at one moment."""

    seconds: float
    measured: int
    """Readings taken, of `total`: also those that are dropped, held back or corrupt."""
    total: int | None
    sent: int
    acknowledged: int
    rate: float
    """Readings per second, sent in the last moments."""
    connected: bool
    flushing: bool
    """Nothing more is measured; the last acknowledgements are waited for."""


@dataclass(frozen=True)
class Summary:
    """What came of a simulation. `sent` = `acknowledged` + `failed` with QoS 1 and 2; QoS 0 acknowledges nothing."""

    sent: int
    """Readings handed to the broker, each counted once."""
    acknowledged: int
    """Readings whose message the broker has acknowledged."""
    failed: int
    """Readings sent and not acknowledged in time: they may or may not have arrived."""
    unsent: int
    """Readings that fell due and could not be sent in time."""
    dropped: int
    duplicated: int
    late: int
    corrupted: int
    messages: int
    seconds: float
    rate: float
    """Readings sent per second, over the whole run."""
    interrupted: bool
    """It was stopped before its end."""


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also refuses NaN
        raise UsageError(f"{name} is {value}", hint=f"choose from {low:g} to {high:,.16g}")
