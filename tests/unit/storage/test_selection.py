"""What comes behind a page: the rest of its last sensor, then the sensors behind that one."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.names import SENSOR_MAX
from backend_demo.storage.selection import Selection, statements

SENSORS = [0, 1, 2, SENSOR_MAX]
TIMES = [0.0, 1.0, math.nextafter(1.0, 2), 2.0, 3.0]
ROWS = [(sensor, time) for sensor in SENSORS for time in TIMES]


def found(wanted: Selection) -> list[tuple[int, float]]:
    """The rows of ROWS that the statements find, evaluated as PostgreSQL would."""
    rows: list[tuple[int, float]] = []
    for query, parameters in statements(wanted, "sensor_num, timestamp"):
        start, end, *sensors = parameters
        bounds = re.search(r"sensor_num between (\d+) and (\d+)", query)
        lowest, highest = map(int, bounds.groups()) if bounds else (0, SENSOR_MAX)
        assert lowest <= highest <= SENSOR_MAX  # beyond, PostgreSQL would compare as numeric, without the index
        here = [
            (sensor, time)
            for sensor, time in ROWS
            if start <= time <= end and lowest <= sensor <= highest and (not sensors or sensor in sensors[0])
        ]
        assert ("desc" in query) == wanted.descending
        rows += here[::-1] if wanted.descending else here
    return rows


@given(
    st.lists(st.sampled_from(SENSORS), unique=True),
    st.sampled_from(TIMES),
    st.sampled_from(TIMES),
    st.booleans(),
    st.data(),
)
def test_it_is_what_comes_after_the_last_row(
    sensors: list[int], start: float, end: float, descending: bool, data: st.DataObject
) -> None:
    whole = found(Selection("temperature", tuple(sorted(sensors)), start, end, descending))
    assert whole == sorted(set(whole), reverse=descending)
    if whole:
        place = data.draw(st.integers(0, len(whole) - 1))
        rest = Selection("temperature", tuple(sorted(sensors)), start, end, descending, after=whole[place])
        assert found(rest) == whole[place + 1 :]


@pytest.mark.parametrize(("descending", "after"), [(False, (SENSOR_MAX, 3.0)), (True, (0, 0.0))])
def test_nothing_is_behind_the_last_sensor(descending: bool, after: tuple[int, float]) -> None:
    assert list(statements(Selection("temperature", (), 0.0, 3.0, descending, after), "value")) == []
