"""The aggregation's state: what is taken up again, and what is evicted."""

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.average import Window
from backend_demo.domain.state_log import HORIZON, PartitionLog, State, encode_window

entries = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 20), st.booleans()), min_size=1)


@given(entries)
def test_the_newest_counts_though_a_zombie_wrote_after_it(written: list[tuple[int, int, bool]]) -> None:
    log = PartitionLog()
    newest: dict[int, tuple[int, bool]] = {}
    for sensor, offset, evicted in written:
        if evicted:
            log.read(b"%d" % sensor, None, [("offset", b"%d" % offset)])
        else:
            log.read(b"%d" % sensor, encode_window(Window(offset=offset)), [])
        newest[sensor] = max(newest.get(sensor, (-1, False)), (offset, evicted))
    assert {sensor: window.offset for sensor, window in log.windows.items()} == {
        sensor: offset for sensor, (offset, evicted) in newest.items() if not evicted
    }


def test_the_horizon_is_remembered() -> None:
    log = PartitionLog()
    assert log.horizon is None
    log.read(HORIZON, b"5.5", [])
    log.read(HORIZON, b"4.0", [])
    assert log.horizon == 5.5


def test_those_idle_for_longest_are_evicted() -> None:
    state = State()
    state.windows[0] = {
        sensor: Window([float(sensor)], [20.0], offset=offset) for sensor, offset in ((1, 7), (2, 3), (3, 9), (4, 1))
    }
    state.changed[0] = {4, 3}
    assert state.evict(0, 2) == {4: 1, 2: 3}
    assert set(state.windows[0]) == {1, 3}
    assert state.changed[0] == {3}
    assert state.horizons == {0: 4.0}
    assert state.evict(1, 2) == {}
    assert state.horizons == {0: 4.0}


def test_what_is_restored_replaces_all_state() -> None:
    state = State()
    state.windows[0][1], state.changed[0], state.horizons = Window(offset=4), {1}, {0: 1.0}
    state.restore({3: PartitionLog({7: Window(offset=9)}, 2.0)})
    assert state.windows == {3: {7: Window(offset=9)}}
    assert not state.changed
    assert state.horizons == {3: 2.0}


#: What happens to a partition's sensors: readings at the next offsets, or a copy to Kafka with a limit of windows.
events = st.lists(st.one_of(st.integers(1, 6), st.tuples(st.integers(0, 6))), min_size=1, max_size=40)


@given(events)
def test_whoever_reads_the_copy_has_the_state(events: list[int | tuple[int]]) -> None:
    """All of its records, in their order, or only the last one of each key, as compaction leaves them."""
    state, written = State(), list[tuple[bytes, bytes | None, list[tuple[str, bytes]]]]()
    for offset, event in enumerate([*events, (6,)]):
        if isinstance(event, int):
            window = state.windows[0].setdefault(event, state.new_window(0))
            window.times.append(float(offset))
            window.values.append(20.0)
            window.offset = offset
            state.changed[0].add(event)
        else:
            evicted = state.shrink(0, event[0])
            for key, value, *headers in state.records(0, evicted):
                written.append((key, value, headers[0] if headers else []))
            assert len(state.windows[0]) <= event[0]
            assert not state.changed[0]
    for records in (written, list({record[0]: record for record in written}.values())):
        log = PartitionLog()
        for record in records:
            log.read(*record)
        assert log.windows == state.windows[0]
        assert log.horizon == state.horizons.get(0)
        assert log.newest_offset == max((window.offset for window in log.windows.values()), default=-1)


def test_a_sensor_that_may_have_been_evicted_gets_a_truncated_window() -> None:
    state = State()
    assert state.new_window(0) == Window()
    state.horizons[0] = 5.0
    assert state.new_window(0) == Window(truncated=True, horizon=5.0)
    assert state.new_window(1) == Window()
