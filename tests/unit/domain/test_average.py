"""The window against a brute-force oracle: averages are a function of the set of readings, whatever their order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from backend_demo.domain.average import Unchanged, Window, average

readings = st.lists(
    st.tuples(st.integers(0, 60), st.floats(-50, 150, allow_nan=False).map(lambda value: round(value, 2))), max_size=80
)


@given(st.lists(st.floats(-50, 150, allow_nan=False).map(lambda value: round(value, 2)), min_size=1, max_size=10))
def test_an_average_is_rounded_as_postgresql_s_in_every_version_of_python(values: list[float]) -> None:
    total = 0.0
    for value in values:
        total += value
    assert average(values) == round(total / len(values), 2)


def oracle(stored: dict[float, float], window: int) -> dict[float, float]:
    """For each reading, the mean of the newest `window` readings up to it."""
    times = sorted(stored)
    return {time: average([stored[t] for t in times[max(0, i + 1 - window) : i + 1]]) for i, time in enumerate(times)}


def repaired(stored: dict[float, float], time: float, window: int) -> dict[float, float]:
    """What the loader does for a repair: the averages at `time` and after it that the reading there is part of."""
    exact = oracle(stored, window)
    return {t: exact[t] for t in sorted(t for t in stored if t >= time)[:window]}


@given(readings, st.integers(1, 5), st.integers(0, 6))
@settings(max_examples=400)
def test_any_order_gives_the_averages_of_the_set(arrivals: list[tuple[int, float]], window: int, lateness: int) -> None:
    state, stored, averages = Window(times=[], values=[]), {}, {}
    for time, value in arrivals:
        changed = state.put(time, value, window=window)
        if time in stored:
            if changed is not Unchanged.TOO_OLD:
                expected = Unchanged.DUPLICATE if stored[time] == value else Unchanged.CONFLICT
                assert changed is expected
            # else forgotten by the window: it can only say that the table must tell
        else:
            stored[time] = value
        if changed is Unchanged.TOO_OLD:
            averages.update(repaired(stored, time, window))
        elif isinstance(changed, list):
            averages.update({t: state.average_at(state.times.index(t), window) for t in changed})
        state.cut(window + lateness)
    assert averages == oracle(stored, window)


@given(readings, st.integers(1, 5), st.integers(0, 6))
def test_the_window_holds_the_newest_readings_in_order(
    arrivals: list[tuple[int, float]], window: int, lateness: int
) -> None:
    state, stored = Window(times=[], values=[]), {}
    for time, value in arrivals:
        state.put(time, value, window=window)
        state.cut(window + lateness)
        stored.setdefault(time, value)
    newest = sorted(stored)[-(window + lateness) :]
    assert state.times == newest
    assert state.values == [stored[time] for time in newest]
    assert state.truncated == (len(stored) > window + lateness)


def test_a_repeated_reading_changes_nothing() -> None:
    state = Window(times=[], values=[])
    assert state.put(1, 20.0, window=10) == [1]
    assert state.put(1, 20.0, window=10) is Unchanged.DUPLICATE
    assert state.put(1, 21.0, window=10) is Unchanged.CONFLICT
    assert state.put(2, 21.0, window=10) == [2]
    assert [state.average_at(index, 10) for index in (0, 1)] == [20.0, 20.5]


def test_a_late_reading_changes_the_averages_after_it() -> None:
    state = Window(times=[], values=[])
    for time, value in ((1, 10.0), (3, 30.0), (4, 40.0), (5, 50.0)):
        state.put(time, value, window=2)
    assert state.put(2, 20.0, window=2) == [2, 3]
    assert [state.average_at(index, 2) for index in (1, 2)] == [15.0, 25.0]


def test_what_an_evicted_window_may_have_held_is_left_to_the_table() -> None:
    state = Window(times=[], values=[], truncated=True, horizon=5.0)
    assert state.put(5, 20.0, window=2) is Unchanged.TOO_OLD
    assert state.times == []
    assert state.put(6, 20.0, window=2) is Unchanged.TOO_OLD
    assert state.average_at(0, 2) is None
    assert state.put(7, 21.0, window=2) == [7]
    assert state.average_at(1, 2) == 20.5
