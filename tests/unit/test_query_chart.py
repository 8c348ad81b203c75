"""The chart of a query: what is left out and what is not."""

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.cli import chart
from backend_demo.domain.reading import Reading

POINTS = st.lists(
    st.tuples(st.integers(0, 10_000).map(float), st.floats(-100, 200)),
    min_size=1,
    max_size=300,
    unique_by=lambda p: p[0],
).map(sorted)


@given(POINTS, st.integers(1, 40))
def test_thinning_keeps_the_extremes_and_the_order(points: list[tuple[float, float]], bins: int) -> None:
    kept = chart.thinned(points, bins)
    assert len(kept) <= max(2 * bins, 1)
    assert kept == sorted(kept)
    assert set(kept) <= set(points)
    values = [value for _, value in points]
    assert min(value for _, value in kept) == min(values)
    assert max(value for _, value in kept) == max(values)


@given(POINTS)
def test_few_points_are_all_kept(points: list[tuple[float, float]]) -> None:
    assert chart.thinned(points, len(points)) == points


def test_ticks_reach_from_end_to_end() -> None:
    times, labels = chart.ticks(0.0, 60.0, 4)
    assert times == [0.0, 20.0, 40.0, 60.0]
    assert len(labels) == 4
    assert all(len(label) == len("00:00:00") for label in labels)
    assert all(len(label) == len("01-31 00:00") for label in chart.ticks(0.0, 1e6, 4)[1])
    assert chart.ticks(5.0, 5.0, 4)[0] == [5.0]


def test_a_single_reading_can_be_drawn() -> None:
    assert chart.draw([Reading(1, 1.7e9, 21.0)], width=60, height=10, colour=False)


def test_each_of_several_sensors_has_its_name() -> None:
    rows = [Reading(sensor, 1.7e9 + i, 20.0 + i * sensor) for sensor in (1, 2) for i in range(10)]
    drawn = chart.draw(rows, width=80, height=16, colour=False)
    assert "sensor 1" in drawn
    assert "sensor 2" in drawn
    assert "\x1b" not in drawn
