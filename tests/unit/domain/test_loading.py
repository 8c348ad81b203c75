"""The loader's decisions: what a batch brings to the tables, where the fence stands afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.fence import Gap
from backend_demo.domain.loading import (
    Averages,
    Draft,
    Ends,
    LoadPlan,
    Position,
    conflicts,
    names,
    shared_number,
)
from backend_demo.domain.names import number_of
from backend_demo.domain.reading import Aggregate, Reading, encode
from backend_demo.domain.sensor_name import SensorName, encode_name
from backend_demo.domain.topics import AGGREGATED_DATA, PROCESSED_DATA, SENSOR_NAMES

P, A = (PROCESSED_DATA, 0), (AGGREGATED_DATA, 0)
BEGIN = Position.at({P: 0, A: 0})


@dataclass
class Rec:
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0


def reading(offset: int, sensor: int, timestamp: float, value: float) -> Rec:
    return Rec(offset, b"%d" % sensor, encode(Reading(sensor, timestamp, value)))


def planned(
    position: Position, processed: list[Rec], aggregated: list[Rec], portion: int = 3
) -> tuple[LoadPlan, Position]:
    draft = Draft(position, {0: processed} if processed else {}, {0: aggregated} if aggregated else {})
    assert draft.gaps == []
    for _ in draft.take(portion):
        pass
    return draft.plan()


def test_records_that_vanish_while_it_runs_are_a_gap() -> None:
    draft = Draft(BEGIN, {0: [reading(4, 1, 5.0, 20.0)]}, {})
    assert draft.gaps == [Gap(P, 0, 3)]


# -- what a batch brings


def test_the_first_reading_wins_and_the_last_average() -> None:
    averages = [Rec(i, b"1", encode(Aggregate(1, 5.0, value))) for i, value in enumerate((20.0, 20.5))]
    readings = [reading(0, 1, 5.0, 20.0), reading(1, 1, 5.0, 20.0), reading(2, 1, 5.0, 21.0)]
    plan, position = planned(BEGIN, readings, averages)
    assert plan.readings == {(1, 5.0): 20.0}
    assert plan.averages == [Averages({(1, 5.0): 20.5})]
    assert plan.duplicates == 1
    assert plan.contested == {(1, 5.0): 20.0}
    assert plan.fence == {P: (0, 3), A: (0, 2)}
    assert position == Position.at({P: 3, A: 2})


def test_a_reading_that_cannot_be_read_is_left_to_the_aggregation() -> None:
    plan, _ = planned(BEGIN, [Rec(0, b"1", b"nonsense")], [])
    assert (plan.readings, plan.dead_letters) == ({}, [])
    assert plan.fence == {P: (0, 1)}


@given(st.lists(st.lists(st.integers(0, 2), min_size=1), min_size=1))
def test_every_record_with_another_value_is_a_conflict_however_batches_fall(polls: list[list[int]]) -> None:
    """A batch may hold the loser first, and then the value that is in the table already: that one is no conflict."""
    key, table, position = (1, 5.0), dict[tuple[int, float], float](), BEGIN
    letters: list[int] = []
    offset = 0
    for values in polls:
        batch = [reading(offset + i, *key, float(value)) for i, value in enumerate(values)]
        offset += len(values)
        plan, position = planned(position, batch, [])
        stored = {key: table[key]} if table.get(key, plan.readings[key]) != plan.readings[key] else {}
        letters += [letter.offset for letter in conflicts({0: batch}, {**plan.contested, **stored})]
        table.setdefault(key, plan.readings[key])
    values = [value for poll in polls for value in poll]
    assert letters == [i for i, value in enumerate(values) if value != values[0]]


def test_what_is_not_an_aggregate_becomes_a_dead_letter() -> None:
    raws = [b"nonsense", b"{}", None, b'{"sensor":1,"timestamp":2}']
    plan, position = planned(BEGIN, [], [Rec(i, b"1", raw) for i, raw in enumerate(raws)])
    assert [letter.reason for letter in plan.dead_letters] == ["json", "json", "json", "field"]
    assert [letter.offset for letter in plan.dead_letters] == [0, 1, 2, 3]
    assert position.fence[A] == 4


# -- what waits, and the fence


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 6)), max_size=8),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), min_size=1, max_size=12),
    st.integers(1, 3),
)
def test_nothing_overtakes_a_repair_that_waits_for_its_reading(
    repairs: list[int | None], polls: list[tuple[int, int, bool]], portion: int
) -> None:
    """`repairs`: a record of `aggregated-data` each, a repair of that offset or an average.

    A poll may be followed by a crash: the loader begins again at the fence that its transaction has left.
    """
    aggregated = [
        Rec(i, b"1", encode(Aggregate(1, float(i), 20.0) if repair is None else Aggregate(1, float(i), repair=repair)))
        for i, repair in enumerate(repairs)
    ]
    processed = [reading(i, 1, float(i), 20.0) for i in range(7)]
    position = BEGIN
    for more_p, more_a, crash in [*polls, (7, 8, False)]:
        p, a = position.read_to[P], position.read_to[A]
        before = position.fence
        plan, position = planned(position, processed[p : p + more_p], aggregated[a : a + more_a], portion)
        p, a = min(7, p + more_p), min(len(aggregated), a + more_a)
        waiting = [i for i in range(a) if (repair := repairs[i]) is not None and repair >= p]
        fence = {P: p, A: min(waiting, default=a)}
        assert position.read_to == {P: p, A: a}
        assert position.fence == fence
        assert position.held == ({0: aggregated[fence[A] : a]} if waiting else {})
        assert plan.fence == {key: (before[key], fence[key]) for key in fence if before[key] != fence[key]}
        assert list(plan.readings) == [(1, float(i)) for i in range(before[P], p)]
        applied = [
            (time, is_repair)
            for step in plan.averages
            for is_repair, keys in ((False, list(step.stored)), (True, step.repairs))
            for _, time in keys
        ]
        assert applied == [(float(i), repairs[i] is not None) for i in range(before[A], fence[A])]
        if crash:
            position = Position.at(position.fence)
    assert position.fence == {P: 7, A: len(aggregated)}


@pytest.mark.parametrize("known", [True, False])
def test_a_repair_of_a_reading_that_is_not_in_the_log_is_refused_once_that_is_known(known: bool) -> None:
    """Nothing of its partition could be loaded any more."""
    forged = Rec(0, b"1", encode(Aggregate(1, 1.0, repair=7)))
    averages = [Rec(1, b"1", encode(Aggregate(1, 2.0, 20.0)))]
    _, position = planned(BEGIN, [reading(0, 1, 2.0, 20.0)], [forged, *averages])
    assert position.held == {0: [forged, *averages]}
    draft = Draft(position, {}, {}, Ends({0: 7}) if known else Ends())
    for _ in draft.take(1):
        pass
    plan, position = draft.plan()
    if known:
        (letter,) = plan.dead_letters
        assert (letter.reason, letter.offset) == ("field", 0)
        assert "repairs offset 7 of processed-data, which ends at 7" in letter.detail
        assert (position.held, position.fence[A]) == ({}, 2)
        assert [list(step.stored) for step in plan.averages] == [[(1, 2.0)]]
    else:
        assert (plan.dead_letters, position.fence[A]) == ([], 0)


def test_a_repair_of_the_logs_last_reading_waits_for_it() -> None:
    repair = Rec(0, b"1", encode(Aggregate(1, 1.0, repair=6)))
    _, position = planned(BEGIN, [], [repair])
    draft = Draft(position, {}, {}, Ends({0: 7}))
    for _ in draft.take(1):
        pass
    plan, position = draft.plan()
    assert (plan.dead_letters, position.held) == ([], {0: [repair]})


@pytest.mark.parametrize(
    ("ends", "waits"),
    [
        (Ends(), True),  # the topic may have been created again since the loader looked
        (Ends({0: 9}, "new"), True),  # it was: the repair's reading is in the new one
        (Ends({0: 0}, "old"), False),  # it was not: the repair is of one that is gone
    ],
)
def test_a_repair_of_another_topic_waits_until_it_is_known_to_be_gone(ends: Ends, waits: bool) -> None:
    repair = Rec(0, b"1", encode(Aggregate(1, 1.0, repair=7, topic_id="another")))
    draft = Draft(Position.at({P: 0, A: 0}, {PROCESSED_DATA: "old"}), {}, {0: [repair]}, ends)
    for _ in draft.take(1):
        pass
    plan, position = draft.plan()
    assert plan.dead_letters == []
    assert position.held == ({0: [repair]} if waits else {})
    assert [step.repairs for step in plan.averages if step.repairs] == ([] if waits else [[(1, 1.0)]])


def test_a_repair_that_was_written_before_the_assignment_is_of_this_topic_or_of_one_that_is_gone() -> None:
    repairs = [Rec(number, b"1", encode(Aggregate(1, 1.0 + number, repair=7, topic_id="old"))) for number in (0, 1)]
    draft = Draft(Position.at({P: 0, A: 0}, {PROCESSED_DATA: "new"}, {0: 1}), {}, {0: repairs})
    for _ in draft.take(1):
        pass
    plan, position = draft.plan()
    assert [step.repairs for step in plan.averages if step.repairs] == [[(1, 1.0)]]
    assert position.held == {0: repairs[1:]}
    assert position.assigned_ends == {0: 1}


def test_the_names_in_a_batch() -> None:
    name = SensorName(number_of("kitchen"), "kitchen")
    records = [
        Rec(0, b"", encode_name(name), 1_700_000_000_250),
        Rec(1, b"", b"{}"),
        Rec(2, b"", None),
        Rec(3, b"", encode_name(SensorName(8, "kitchen"))),
        Rec(4, b"", encode_name(SensorName(7, "7"))),
    ]
    found, letters = names({3: records})
    assert found == [(name, 1_700_000_000.25)]
    assert [(letter.reason, letter.topic, letter.partition, letter.offset) for letter in letters] == [
        ("json", SENSOR_NAMES, 3, 1),
        ("json", SENSOR_NAMES, 3, 2),
        ("key", SENSOR_NAMES, 3, 3),
        ("key", SENSOR_NAMES, 3, 4),
    ]
    letter = shared_number(name, "hall")
    assert letter.detail == f"'kitchen' has the number {name.sensor} of 'hall': rename one of them"
    assert letter.value() == encode_name(name)
