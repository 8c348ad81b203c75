"""The readings of a bench: what is sent is what is expected, with the faults that were asked for."""

from collections import Counter, defaultdict

import pytest

from backend_demo.domain.reading import Reading, Rejected, decode_payload
from backend_demo.domain.topics import mqtt_topic
from backend_demo.errors import UsageError
from backend_demo.faust_batch.producer import partition_of
from backend_demo.operations.bench.readings import DELAY_MAX, IMPLAUSIBLE, DrainLoad, block, by_partition

NOW_US = 1_800_000_000_000_000
FIRST = 1_000_000


def decoded(load: DrainLoad) -> list[Reading | Rejected]:
    return [
        reading
        for sensor, payload in block(load, FIRST, NOW_US).messages
        for reading in decode_payload(sensor, payload, now=NOW_US / 1e6, future_tolerance_s=60, time_min=0)
    ]


def test_what_is_sent_is_what_is_expected() -> None:
    load = DrainLoad(readings=1000, sensors=7)
    found = block(load, FIRST, NOW_US)
    expected = [Reading(entry.sensor, entry.timestamp, entry.value) for entry in found.entries]
    assert decoded(load) == expected
    assert (found.refused, found.stored) == (0, 1000)
    assert found.first == min(reading.timestamp for reading in expected)
    assert max(reading.timestamp for reading in expected) < NOW_US / 1e6


def test_no_two_readings_have_one_identity() -> None:
    found = block(DrainLoad(readings=5000, sensors=3, late=0.1, refused=0.1, skew=True), FIRST, NOW_US)
    assert len({(entry.sensor, entry.timestamp) for entry in found.entries}) == 5000


@pytest.mark.parametrize("sensors", [1, 2, 100])
def test_all_sensors_send_equally(sensors: int) -> None:
    counts = Counter(sensor for sensor, _ in block(DrainLoad(readings=1000, sensors=sensors), FIRST, NOW_US).messages)
    assert set(counts) == set(range(FIRST, FIRST + sensors))
    assert max(counts.values()) - min(counts.values()) <= 1


def test_with_skew_the_first_sensor_sends_half() -> None:
    counts = Counter(sensor for sensor, _ in block(DrainLoad(1000, 11, skew=True), FIRST, NOW_US).messages)
    assert counts[FIRST] == 500
    assert [counts[FIRST + number] for number in range(1, 11)] == [50] * 10


def test_late_readings_come_after_younger_ones_but_not_too_many() -> None:
    late = 0
    times = defaultdict(list)
    for reading in decoded(DrainLoad(readings=20_000, sensors=4, late=0.05)):
        assert isinstance(reading, Reading)
        times[reading.sensor].append(reading.timestamp)
    for of_sensor in times.values():
        for place, timestamp in enumerate(of_sensor):
            younger = sum(earlier > timestamp for earlier in of_sensor[max(0, place - 2 * DELAY_MAX) : place])
            assert younger <= DELAY_MAX
            late += younger > 0
    assert 0.04 < late / 20_000 < 0.06


def test_refused_readings_are_refused_at_two_hops() -> None:
    load = DrainLoad(readings=10_000, sensors=10, refused=0.02)
    found = block(load, FIRST, NOW_US)
    ahead = sum(isinstance(reading, Rejected) and reading.reason == "future" for reading in decoded(load))
    implausible = sum(isinstance(reading, Reading) and reading.value == IMPLAUSIBLE for reading in decoded(load))
    assert ahead + implausible == found.refused == 10_000 - found.stored
    assert abs(ahead - implausible) <= 1
    assert 150 < found.refused < 250


def test_records_have_the_keys_and_partitions_of_the_bridge() -> None:
    messages = block(DrainLoad(readings=100, sensors=20), FIRST, NOW_US).messages
    records = by_partition("sensor-data", messages)
    assert sum(map(len, records.values())) == 100
    for (topic, partition), of_partition in records.items():
        assert topic == "sensor-data"
        for key, _ in of_partition:  # type: ignore[misc]
            assert key is not None
            assert partition_of(key, 8) == partition
    assert records["sensor-data", partition_of(mqtt_topic(FIRST).encode(), 8)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"readings": 0},
        {"sensors": 0},
        {"late": -0.1},
        {"refused": 1.0},
        {"late": 0.6, "refused": 0.6},
        {"late": float("nan")},
    ],
)
def test_a_load_out_of_bounds_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        DrainLoad(**wrong)  # type: ignore[arg-type]
