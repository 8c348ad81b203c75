"""The hours that rows touch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.loading import Key
from backend_demo.domain.rollup import HOUR_S, touched

micros = st.integers(0, 2 * 10**15)
keys = st.sets(st.tuples(st.integers(0, 3), micros.map(lambda time: time / 1e6)), max_size=30)
near = st.sets(st.tuples(st.integers(0, 3), st.floats(1.7e9, 1.7e9 + 9000)), max_size=30)


@given(st.one_of(keys, near))
def test_each_row_is_in_one_of_the_hours_of_its_sensor(rows: set[Key]) -> None:
    sensors, hours = touched(rows)
    pairs = list(zip(sensors, hours, strict=True))
    assert len(set(pairs)) == len(pairs)
    assert all(hour % HOUR_S == 0 for hour in hours)
    for sensor, hour in pairs:
        assert any(each == sensor and hour <= time < hour + HOUR_S for each, time in rows)
    for sensor, time in rows:
        assert any(each == sensor and hour <= time < hour + HOUR_S for each, hour in pairs)
