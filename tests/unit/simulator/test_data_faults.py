"""Faults in the data, and the fleet that sends them."""

from __future__ import annotations

import json
import math
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.reading import Reading, decode_payload
from backend_demo.errors import UsageError
from backend_demo.settings import Settings
from backend_demo.simulator import data_faults
from backend_demo.simulator.data_faults import DELAY_MAX, ITEMS, PAYLOADS, Faults, corrupt, delay
from backend_demo.simulator.fleet import ITEM_MAX, Fleet, SensorMessage
from backend_demo.simulator.plan import Plan

NOW = 1_795_520_137.972941
FIELDS = Settings.model_fields

tenths = st.integers(0, 25).map(lambda n: n / 100)
faults = st.builds(Faults, drop=tenths, duplicate=tenths, late=tenths, corrupt=tenths)
plans = st.builds(
    Plan,
    sensors=st.integers(1, 7),
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["int", "float"]),
    topics=st.sampled_from(["ours", "original"]),
    batch=st.sampled_from([1, 2, 7]),
    faults=faults,
)


def accepted(sensor: int, payload: bytes) -> list[Reading]:
    """What the pipeline makes of a payload, up to the plausible range."""
    low, high = FIELDS["value_min"].default, FIELDS["value_max"].default
    found = decode_payload(
        sensor,
        payload,
        now=NOW + 1000,
        future_tolerance_s=FIELDS["future_tolerance_s"].default,
        time_min=FIELDS["time_min"].default,
    )
    return [reading for reading in found if isinstance(reading, Reading) and low <= reading.value <= high]


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, math.inf])
def test_a_fraction_lies_between_0_and_1(wrong: float) -> None:
    with pytest.raises(UsageError, match="invalid late "):
        Faults(late=wrong)


def test_fractions_do_not_exceed_all_readings() -> None:
    with pytest.raises(UsageError, match="more than 1"):
        Faults(drop=0.6, late=0.6)


def test_faults_come_as_often_as_asked_and_always_to_the_same_readings() -> None:
    asked = Faults(drop=0.1, duplicate=0.2, late=0.3, corrupt=0.05)
    found = [asked.of(3, sensor, index) for sensor in range(20) for index in range(1000)]
    assert found == [asked.of(3, sensor, index) for sensor in range(20) for index in range(1000)]
    for fault, fraction in vars(asked).items():
        assert found.count(fault) / len(found) == pytest.approx(fraction, abs=0.01)


def test_all_or_nothing() -> None:
    assert {Faults(corrupt=1).of(0, 1, index) for index in range(1000)} == {"corrupt"}
    assert {Faults().of(0, 1, index) for index in range(1000)} == {None}


def test_delays_reach_beyond_the_state_of_the_aggregator() -> None:
    delays = [delay(0, 1, index) for index in range(2000)]
    assert (min(delays), max(delays)) == (1, DELAY_MAX)
    assert FIELDS["aggregation_window"].default + FIELDS["aggregation_lateness"].default < DELAY_MAX


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_every_corrupt_payload_is_refused(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_faults, "PAYLOADS", (PAYLOADS[number],))
    payload = corrupt(0, 1, 0, NOW, in_array=False)
    assert len(payload) <= FIELDS["max_payload_bytes"].default
    assert accepted(1, payload) == []


@pytest.mark.parametrize("number", range(len(ITEMS)))
def test_a_corrupt_item_disturbs_nothing_beside_it(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_faults, "ITEMS", (ITEMS[number],))
    item = corrupt(0, 1, 0, NOW, in_array=True)
    json.loads(item)
    assert len(item) <= ITEM_MAX
    good = b'{"timestamp": 1700000000.0, "value": 21.5}'
    assert accepted(1, b"[%b,%b,%b]" % (good, item, good)) == [Reading(1, 1_700_000_000.0, 21.5)] * 2


def test_corrupt_payloads_vary() -> None:
    assert len({corrupt(0, 1, index, NOW, in_array=False) for index in range(1000)}) == len(PAYLOADS)


@given(plans, st.integers(0, 300))
def test_a_fleet_sends_each_good_reading_and_only_those(plan: Plan, count: int) -> None:
    fleet = Fleet(plan)
    sent: list[SensorMessage] = []
    for number in range(count):
        sent += fleet.measure(number, round(NOW * 1_000_000) + number // 3)  # a clock that often stands still
    sent += fleet.rest()
    counts = fleet.counts
    readings = [reading for message in sent for reading in message.readings]
    assert len(readings) == count - counts["drop"] - counts["corrupt"]
    assert len({(reading.sensor, reading.timestamp) for reading in readings}) == len(readings)

    items = [reading for message in sent for reading in accepted(message.sensor, message.payload)]
    assert len(items) == len(readings) + counts["duplicate"]
    assert set(map(repr, items)) == set(map(repr, readings))
    if plan.batch == 1:
        assert len(sent) == count - counts["drop"] + counts["duplicate"]
    else:
        assert all(len(json.loads(message.payload)) <= plan.batch for message in sent)


@given(plans, st.integers(0, 300))
def test_only_late_readings_come_after_younger_ones(plan: Plan, count: int) -> None:
    fleet = Fleet(plan)
    times: dict[int, list[float]] = defaultdict(list)
    for number in range(count):
        for message in fleet.measure(number, number):
            times[message.sensor] += [reading.timestamp for reading in message.readings]
    for message in fleet.rest():
        times[message.sensor] += [reading.timestamp for reading in message.readings]
    overtaken = sum(max(of[: at + 1]) > of[at] for of in times.values() for at in range(len(of)))
    assert overtaken <= fleet.counts["late"]
    assert plan.faults.late or all(of == sorted(of) for of in times.values())


def test_same_seed_same_messages() -> None:
    plan = Plan(sensors=3, seed=5, faults=Faults(drop=0.1, duplicate=0.1, late=0.1, corrupt=0.1))
    runs = [[list(Fleet(plan).measure(number, number)) for number in range(50)] for _ in range(2)]
    assert runs[0] == runs[1]


def test_the_original_sends_strings_on_its_own_topics() -> None:
    (message,) = Fleet(Plan(sensors=1, topics="original", kind="int")).measure(0, 1_795_520_137_500_000)
    payload = json.loads(message.payload)
    assert message.topic == "/sensor1/temp"
    assert payload["timestamp"] == "1795520137.5"
    assert payload["value"] == str(int(message.readings[0].value))
