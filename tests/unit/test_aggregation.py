"""The aggregation's state: what is taken up again, and what is evicted."""

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.average import Window
from backend_demo.domain.steps import Average
from backend_demo.stages.aggregation import HORIZON, PartitionState, _encode

entries = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 20), st.booleans()), min_size=1)


@given(entries)
def test_the_newest_counts_though_a_zombie_wrote_after_it(written: list[tuple[int, int, bool]]) -> None:
    state = PartitionState()
    newest: dict[int, tuple[int, bool]] = {}
    for sensor, offset, evicted in written:
        if evicted:
            state.read(b"%d" % sensor, None, [("offset", b"%d" % offset)])
        else:
            state.read(b"%d" % sensor, _encode(Window(offset=offset)), [])
        newest[sensor] = max(newest.get(sensor, (-1, False)), (offset, evicted))
    assert {sensor: window.offset for sensor, window in state.windows.items()} == {
        sensor: offset for sensor, (offset, evicted) in newest.items() if not evicted
    }


def test_the_horizon_is_remembered() -> None:
    state = PartitionState()
    assert state.horizon is None
    state.read(HORIZON, b"5.5", [])
    state.read(HORIZON, b"4.0", [])
    assert state.horizon == 5.5


def test_those_idle_for_longest_are_evicted() -> None:
    step = Average(window=2, lateness=0)
    step.windows[0] = {
        sensor: Window([float(sensor)], [20.0], offset=offset) for sensor, offset in ((1, 7), (2, 3), (3, 9), (4, 1))
    }
    step.changed[0] = {4, 3}
    assert step.evict(0, 2) == {4: 1, 2: 3}
    assert set(step.windows[0]) == {1, 3}
    assert step.changed[0] == {3}
    assert step.horizons == {0: 4.0}
    assert step.evict(1, 2) == {}
    assert step.horizons == {0: 4.0}


def test_what_is_restored_replaces_all_state() -> None:
    step = Average(window=2, lateness=0)
    step.windows[0][1], step.changed[0], step.horizons = Window(offset=4), {1}, {0: 1.0}
    step.restore({3: {7: Window(offset=9)}}, {3: 2.0})
    assert step.windows == {3: {7: Window(offset=9)}}
    assert not step.changed
    assert step.horizons == {3: 2.0}
