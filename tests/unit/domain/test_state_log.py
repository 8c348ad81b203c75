"""The aggregation's state: what is taken up again, and what is evicted."""

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.average import Window
from backend_demo.domain.state_log import HORIZON, PartitionLog, State, StateFit, StateSource, encode_window
from backend_demo.kafka_record import LogRange

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


def stored(state: State, partition: int, found: PartitionLog, log: LogRange, latest: float = 1e9) -> PartitionLog:
    """What the next process finds after this one was given that."""
    state.restore({partition: found})
    for key, value, *headers in state.follow(partition, log, found.examine(log), latest=latest):
        found.read(key, value, headers[0] if headers else [])
    return found


def test_windows_of_a_topic_that_was_created_again_are_evicted() -> None:
    """Its readings are in the table, and the offsets of the new topic are above theirs."""
    state = State()
    found = stored(state, 3, PartitionLog(), LogRange(0, 9, "old"))
    assert (state.sources[3], state.horizons) == (StateSource("old", 0), {})
    found.read(b"7", encode_window(Window([1.0, 2.0], [20.0, 21.0], offset=8)), [])
    assert found.examine(LogRange(0, 9, "old", 9)) is StateFit.SAME
    for log in (LogRange(0, 100, "new"), LogRange(0, 8, "old", 4)):
        assert found.examine(log) is StateFit.CREATED_AGAIN
    found = stored(state, 3, found, LogRange(0, 100, "new"))
    assert (state.sources[3], state.horizons, state.windows[3]) == (StateSource("new", 1), {3: 2.0}, {})
    assert (found.windows, found.horizon) == ({}, 2.0)
    assert found.examine(LogRange(0, 100, "new")) is StateFit.SAME


def test_late_words_about_a_topic_that_is_gone_do_not_count() -> None:
    state = State()
    found = stored(state, 0, PartitionLog(source=StateSource("old")), LogRange(0, 9, "new"))
    found.read(b"7", encode_window(Window([1.0], [20.0], offset=1_000_000)), [])
    state.restore({0: found})
    assert state.windows[0] == {}


def test_windows_that_are_gone_leave_everything_so_far_to_the_table() -> None:
    state = State()
    log = LogRange(0, 9, "a", committed=5)
    found = PartitionLog({7: Window([1.0], [20.0], offset=6)})  # written since, by one that had not noticed
    assert found.examine(log) is StateFit.LOST
    found = stored(state, 0, found, log, latest=77.0)
    assert (state.windows[0], state.horizons, state.sources[0]) == ({}, {0: 77.0}, StateSource("a", 1))
    assert found.horizon == 77.0
    assert found.examine(log) is StateFit.SAME


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
