"""A simulation in parts: together they are the whole, and nothing is sent by two of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.errors import UsageError
from backend_demo.simulator.fleet import Fleet
from backend_demo.simulator.plan import Plan, SimulationProgress, Summary
from backend_demo.simulator.processes import joined_progress, joined_summary, parts_of


def values(plan: Plan, count: int) -> set[tuple[int, float]]:
    """Sensor and value of the first readings of a plan."""
    fleet = Fleet(plan)
    messages = [message for number in range(count) for message in fleet.measure(number, number)]
    return {(reading.sensor, reading.value) for message in messages for reading in message.readings}


@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 200), st.integers(0, 1000))
def test_the_parts_are_the_whole(sensors: int, processes: int, count: int, first: int) -> None:
    plan = Plan(sensors=sensors, count=count, first_sensor=first, connections=4)
    parts = parts_of(plan, processes)
    assert 1 <= len(parts) <= processes
    assert sum(part.count or 0 for part in parts) == count
    found = [values(part, part.count or 0) for part in parts]
    assert set.union(*found) == values(plan, count)
    sent_by = [{sensor for sensor, _ in each} for each in found]
    assert sum(map(len, sent_by)) == len(set.union(*sent_by))


def test_without_a_count_every_sensor_is_in_one_part() -> None:
    parts = parts_of(Plan(sensors=10, rate=2.0, connections=5), 3)
    assert [(part.sensors, part.first_sensor, part.sensor_step, part.connections) for part in parts] == [
        *((4, 1, 3, 1), (3, 2, 3, 1), (3, 3, 3, 1))
    ]


def test_sensors_end_at_the_largest_number() -> None:
    Plan(sensors=2, first_sensor=2**63 - 2)
    with pytest.raises(UsageError, match="first-sensor"):
        Plan(sensors=3, first_sensor=2**63 - 2)


def test_sums_of_the_parts() -> None:
    one = Summary(10, 9, 1, 0, 2, 3, 4, 5, 8, 2.0, 5.0, False)
    both = joined_summary([one, replace(one, sent=30, seconds=4.0, interrupted=True)])
    assert (both.sent, both.acknowledged, both.corrupted, both.seconds, both.rate) == (40, 18, 10, 4.0, 10.0)
    assert both.interrupted
    now = SimulationProgress(1.0, 5, 10, 5, 4, 2.5, True, False)
    all_of_it = joined_progress([now, replace(now, total=None, connected=False, flushing=True)])
    assert (all_of_it.sent, all_of_it.total, all_of_it.connected, all_of_it.flushing) == (10, None, False, False)
