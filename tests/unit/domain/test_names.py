"""The names of sensors and their numbers."""

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.known_sensors import KnownSensors, Place
from backend_demo.domain.names import NAME_MAX, name_problem, number_in, number_of
from backend_demo.domain.sensor_name import SensorName
from backend_demo.domain.topics import mqtt_topic, name_in, sensor_of


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("0", 0),
        ("7", 7),
        ("9223372036854775807", 2**63 - 1),
        # made with b2sum -l 64. They stand in tables: a change would make other sensors of these names
        ("kitchen", 7613755981440579),
        ("Küche", 8339948665915264),
        ("0x00158d0001a2b3c4", 8431764993841358),
        ("9223372036854775808", 6935760689225350),
    ],
)
def test_the_number_of_a_name(name: str, number: int) -> None:
    assert number_of(name) == number


@given(st.text(min_size=1, max_size=20))
def test_a_names_number_is_exact_in_javascript_and_no_small_number(name: str) -> None:
    if number_in(name) is None and name_problem(name) is None:
        assert 2**52 <= number_of(name) < 2**53
        bits = int(blake2b(name.encode(), digest_size=8).hexdigest(), 16)
        assert number_of(name) == 2**52 + bits // 2**12


@pytest.mark.parametrize("name", ["kitchen", "Küche 2", "a" * NAME_MAX, "0004A30B001C0530", "温度", "a-1", "7.5", "7"])
def test_a_name(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "007",
        "9223372036854775808",
        "٣",
        "a" * (NAME_MAX + 1),
        "a\0b",
        "a\nb",
        "a\x7f",
        "a/b",
        "+",
        "a#",
        "\ufffd",
        "\u2028",
    ],
)
def test_no_name(name: str) -> None:
    assert name_problem(name)


@given(st.text(max_size=140))
def test_a_topic_names_its_sensor(name: str) -> None:
    topic = mqtt_topic(name)
    if name_problem(name) is None and not name.isdecimal():
        assert name_in(topic) == name
        assert sensor_of(topic) == number_of(name)
    else:
        assert name_in(topic) in (None, name)


def test_a_new_name_is_told_once() -> None:
    sensors = KnownSensors(lambda key: len(key) % 8)
    place = sensors.of_topic(b"sensors/kitchen/temperature")
    assert place == Place(number_of("kitchen"), b"%d" % number_of("kitchen"), 0)
    assert sensors.of_topic(b"sensors/7/temperature") == Place(7, b"7", 1)
    assert sensors.new_names() == [(SensorName(number_of("kitchen"), "kitchen"), 0)]
    assert sensors.of_name("kitchen") == sensors.of_topic(b"sensors/kitchen/temperature") == place
    assert sensors.new_names() == []


def test_two_names_of_one_number_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend_demo.domain.known_sensors.number_of", lambda name: 2**52)
    sensors = KnownSensors(lambda key: 0)
    assert isinstance(sensors.of_name("kitchen"), Place)
    why = sensors.of_topic(b"sensors/cellar/temperature")
    assert why == "'cellar' has the number 4503599627370496 of 'kitchen': rename one of them"
    assert sensors.new_names() == [(SensorName(2**52, "kitchen"), 0)]
