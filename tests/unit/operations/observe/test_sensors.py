"""The newest readings, and which sensors are meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.names import number_of
from backend_demo.domain.reading import Reading
from backend_demo.errors import UsageError
from backend_demo.operations.observe.sensors import SENSORS, VALUES, SensorHistory, parse_sensors


@pytest.mark.parametrize(
    ("text", "said", "inside", "outside"),
    [
        ("", "", (0, 1, 10**18), ()),
        ("7", "7", (7,), (6, 8, 70)),
        (" 1-3 ", "1-3", (1, 2, 3), (0, 4)),
        ("3, 5,10 - 12", "3, 5, 10-12", (3, 5, 10, 12), (4, 9, 13)),
    ],
)
def test_sensors_as_one_writes_them(text: str, said: str, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    found = parse_sensors(text)
    assert str(found) == said
    assert all(sensor in found for sensor in inside)
    assert not any(sensor in found for sensor in outside)


@pytest.mark.parametrize("text", ["a/b", "x" * 129, "1-", "-1", "1.5", "3-1", "²", "1--2", "9" * 20])
def test_what_is_no_sensor_number_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_sensors(text)
    assert refused.value.hint


def test_values_are_kept_as_they_were_seen_each_once() -> None:
    newest = SensorHistory()
    for timestamp, value in ((1.0, 20.0), (2.0, 21.0), (2.0, 21.0), (3.0, 21.0)):
        newest.see([Reading(7, timestamp, value)])
    assert newest.view(newest.sensors[0]).values == (20.0, 21.0, 21.0)


def test_a_selection_may_name_sensors() -> None:
    chosen = parse_sensors("3-4, living-room, Küche")
    assert str(chosen) == "3-4, living-room, Küche"
    assert [number in chosen for number in (3, number_of("living-room"), number_of("Küche"), 5)] == [
        True,
        True,
        True,
        False,
    ]


def test_a_selection_shows_at_once_what_is_known_of_its_sensors() -> None:
    newest = SensorHistory()
    newest.see([Reading(sensor, 1.0, 20.0) for sensor in range(10)])
    newest.choose(parse_sensors("2-3"))
    assert [reading.sensor for reading in newest.sensors] == [2, 3]
    newest.choose(parse_sensors(""))
    assert len(newest.sensors) == 10


def test_of_very_many_sensors_only_the_first_keep_their_values() -> None:
    newest = SensorHistory()
    for timestamp in (1.0, 2.0):
        newest.see([Reading(sensor, timestamp, timestamp) for sensor in range(SENSORS + 1)])
    assert newest.view(newest.sensors[0]).values == (1.0, 2.0)
    assert newest.view(newest.sensors[-1]).values == (2.0,)


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=4)))
def test_memory_is_bounded_and_the_newest_value_is_the_last(looks: list[list[tuple[int, int]]]) -> None:
    newest = SensorHistory()
    for look in looks:
        readings = [Reading(sensor, float(time), float(time)) for sensor, time in dict(look).items()]
        newest.see(readings)
        for reading in newest.sensors:
            view = newest.view(reading)
            assert view.values[-1] == reading.value
            assert len(view.values) <= VALUES
