"""The chart of a query: what is left out and what is not."""

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.cli.query.chart import draw, envelope, thinned, ticks
from backend_demo.operations.query import READING

POINTS = st.lists(
    st.tuples(st.integers(0, 10_000).map(float), st.floats(-100, 200)),
    min_size=1,
    max_size=300,
    unique_by=lambda p: p[0],
).map(sorted)


@given(POINTS, st.integers(1, 40))
def test_thinning_keeps_the_extremes_and_the_order(points: list[tuple[float, float]], bins: int) -> None:
    kept = thinned(points, bins)
    assert len(kept) <= max(2 * bins, 1)
    assert kept == sorted(kept)
    assert set(kept) <= set(points)
    values = [value for _, value in points]
    assert min(value for _, value in kept) == min(values)
    assert max(value for _, value in kept) == max(values)


@given(POINTS)
def test_few_points_are_all_kept(points: list[tuple[float, float]]) -> None:
    assert thinned(points, len(points)) == points


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.floats(-100, 50), st.floats(0, 50)), min_size=1, max_size=300),
    st.integers(1, 40),
)
def test_an_envelope_holds_every_span(given_spans: list[tuple[int, float, float]], bins: int) -> None:
    spans = [(float(time), low, low + more) for time, low, more in given_spans]
    around = envelope(spans, bins)
    assert len(around) <= max(bins, 1)
    assert [time for time, _, _ in around] == sorted(time for time, _, _ in around)
    for time, low, high in spans:
        assert any(first <= time and lowest <= low and high <= highest for first, lowest, highest in around)
    assert min(low for _, low, _ in around) == min(low for _, low, _ in spans)
    assert max(high for _, _, high in around) == max(high for _, _, high in spans)


def test_between_the_lowest_and_the_highest_of_a_bucket_there_are_dots() -> None:
    rows = [(1, 1.7e9 + 60 * i, 20.0 + i % 3, 15.0, 26.0) for i in range(60)]
    columns = ("sensor", "from", "mean", "min", "max")
    assert draw(rows, columns, width=80, height=16, colour=False).count("·") > 300
    assert "·" not in draw(rows, columns[:3], width=80, height=16, colour=False)
    two = [*rows, *((2, *row[1:]) for row in rows)]
    assert "·" not in draw(two, columns, width=80, height=16, colour=False), "two bands would hide each other"


def test_ticks_reach_from_end_to_end() -> None:
    times, labels = ticks(0.0, 60.0, 4)
    assert times == [0.0, 20.0, 40.0, 60.0]
    assert len(labels) == 4
    assert all(len(label) == len("00:00:00") for label in labels)
    assert all(len(label) == len("01-31 00:00") for label in ticks(0.0, 1e6, 4)[1])
    assert ticks(5.0, 5.0, 4)[0] == [5.0]


def test_a_single_reading_can_be_drawn() -> None:
    assert draw([(1, 1.7e9, 21.0)], READING, width=60, height=10, colour=False)


def test_each_of_several_sensors_has_its_name() -> None:
    rows = [(sensor, 1.7e9 + i, 20.0 + i * sensor) for sensor in (1, 2) for i in range(10)]
    drawn = draw(rows, READING, width=80, height=16, colour=False)
    assert "sensor 1" in drawn
    assert "sensor 2" in drawn
    assert "\x1b" not in drawn
