"""The stages' steps: records in, records and dead letters out."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from backend_demo.domain.average import Window, average
from backend_demo.domain.loading import Draft, Position
from backend_demo.domain.mapping import DeviceMapping
from backend_demo.domain.names import number_of
from backend_demo.domain.reading import Aggregate, Reading, decode_aggregate, encode
from backend_demo.domain.sensor_name import SensorName
from backend_demo.domain.state_log import State
from backend_demo.domain.steps import Average, Collect, Process
from backend_demo.domain.topics import AGGREGATED_DATA, PROCESSED_DATA, SENSOR_DATA
from backend_demo.faust_batch.producer import BATCH_BYTES

NOW = 1_800_000_000.0


@dataclass
class Rec:
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0


def reading(offset: int, sensor: int, timestamp: float, value: float) -> Rec:
    return Rec(offset, b"%d" % sensor, encode(Reading(sensor, timestamp, value)))


def test_collection_keys_by_sensor_and_refuses_the_rest() -> None:
    step = Collect(lambda key: int(key) % 8, future_tolerance_s=60, earliest=lambda now: 0)
    out = step(
        {
            3: [
                Rec(0, b"sensors/12/temperature", b'{"value": "21", "timestamp": 5}'),
                Rec(1, b"/sensor12/temp", b"nonsense"),
                Rec(2, b"/other/topic", b'{"value": 1, "timestamp": 5}'),
                Rec(3, None, b"{}"),
                Rec(4, b"/sensor12/temp", None),
                Rec(5, b"/sensor12/temp", b'[{"value": 1, "timestamp": 6}, {"value": 2, "timestamp": 7}]'),
            ]
        },
        NOW,
    )
    assert dict(out.produced) == {
        4: [(b"12", encode(Reading(12, t, v))) for t, v in ((5.0, 21.0), (6.0, 1.0), (7.0, 2.0))]
    }
    assert [(letter.reason, letter.offset) for letter in out.dead_letters] == [
        ("json", 1),
        ("topic", 2),
        ("key", 3),
        ("empty", 4),
    ]
    assert {(letter.stage, letter.topic, letter.partition) for letter in out.dead_letters} == {
        ("collection", SENSOR_DATA, 3)
    }
    assert out.received == 6
    assert out.sent == 3


def test_collection_takes_mapped_topics_and_names() -> None:
    zigbee = DeviceMapping(topic="zigbee2mqtt/{sensor}", value="temperature", time="arrival")
    ours = DeviceMapping(topic="sensors/{sensor}/temperature", value="payload", time="arrival")
    step = Collect(lambda key: int(key) % 8, future_tolerance_s=60, earliest=lambda now: 0, mappings=[zigbee, ours])
    kitchen, hall = number_of("kitchen"), number_of("hall")
    records = [
        Rec(0, b"zigbee2mqtt/kitchen", b'{"temperature": 21.5}', 1_700_000_000_123),
        Rec(1, b"sensors/hall/temperature", b"22.5", 1_700_000_000_124),  # before the built-in form
        Rec(2, b"/sensor12/temp", b'{"value": 1, "timestamp": 6}'),
        Rec(3, b"zigbee2mqtt/lamp", b'{"state": "ON"}'),
        Rec(4, b"zigbee2mqtt/a#b", b'{"temperature": 21.5}', 1),
        Rec(5, b"zigbee2mqtt/kitchen", None),
        Rec(6, b"zigbee2mqtt/kitchen", b'{"temperature": 22.5}', 1_700_000_001_123),
    ]
    out = step({3: records}, NOW)
    expected = [
        (kitchen, 1_700_000_000.123, 21.5),
        (hall, 1_700_000_000.124, 22.5),
        (12, 6.0, 1.0),
        (kitchen, 1_700_000_001.123, 22.5),
    ]
    produced = [message for messages in out.produced.values() for message in messages]
    assert sorted(produced) == sorted((b"%d" % sensor, encode(Reading(sensor, t, v))) for sensor, t, v in expected)
    assert {key: partition for partition, messages in out.produced.items() for key, _ in messages} == {
        b"%d" % sensor: sensor % 8 for sensor, _, _ in expected
    }
    assert [(letter.reason, letter.offset) for letter in out.dead_letters] == [("field", 3), ("topic", 4), ("empty", 5)]
    assert out.names == [(SensorName(kitchen, "kitchen"), kitchen % 8), (SensorName(hall, "hall"), hall % 8)]
    # a batch that is repeated, here or in another process, has the same identities
    again = step({3: records}, NOW + 5)
    assert again.produced == out.produced
    assert again.names == []


def test_processing_forwards_the_same_bytes_and_refuses_the_implausible() -> None:
    step = Process(value_min=-100, value_max=200)
    good, hot = reading(0, 1, 5.0, 20.0), reading(1, 1, 6.0, 201.0)
    wrong_key = Rec(2, b"2", good.value)
    out = step({0: [good, hot, wrong_key, Rec(3, b"1", b"{"), Rec(4, b"1", None)]})
    assert out.produced[0] == [(good.key, good.value)]
    assert [letter.reason for letter in out.dead_letters] == ["range", "key", "json", "empty"]
    assert out.dead_letters[0].raw == hot.value


@given(st.binary(max_size=20), st.integers(0, 2_000_000), st.integers(0, 2_000_000))
@settings(max_examples=20, deadline=None)
def test_whatever_stands_in_src_data_fits_a_batch_afterwards(sensor: bytes, key_size: int, padding: int) -> None:
    """Anybody may write there; what no batch holds would end the service, and end it again when it comes back."""
    key = b"1" if key_size % 2 else sensor.ljust(key_size, b"k")
    out = Process(value_min=-100, value_max=200)({0: [Rec(0, key, reading(0, 1, 5.0, 20.0).value + b" " * padding)]})
    records = [*out.produced[0], *((letter.record_key(), letter.value()) for letter in out.dead_letters)]
    assert [len(key or b"") + len(value or b"") < BATCH_BYTES - 10_000 for key, value in records] == [True]


def test_aggregation_skips_what_its_state_holds() -> None:
    state = State()
    step = Average(state, window=2, lateness=0)
    state.windows[0][1] = Window(times=[1.0], values=[10.0], offset=4)
    out = step({0: [reading(4, 1, 1.0, 10.0), reading(5, 1, 2.0, 20.0)]})
    assert [decode_aggregate(value) for _, value in out.produced[0]] == [Aggregate(1, 2.0, 15.0)]
    assert state.windows[0][1].offset == 5
    assert state.changed[0] == {1}


def test_aggregation_sends_a_repair_for_what_is_too_old() -> None:
    step = Average(State(), window=2, lateness=1)
    step({0: [reading(i, 1, 10.0 + i, 20.0) for i in range(5)]})
    out = step({0: [reading(5, 1, 3.0, 20.0), reading(6, 1, 15.0, 22.0)]})
    assert [decode_aggregate(value) for _, value in out.produced[0]] == [
        Aggregate(1, 3.0, repair=6),
        Aggregate(1, 15.0, 21.0),
    ]
    assert out.counts["repair"] == 1


def test_an_average_that_changes_twice_in_a_batch_is_sent_once() -> None:
    step = Average(State(), window=2, lateness=4)
    out = step({0: [reading(i, 1, time, value) for i, (time, value) in enumerate([(1, 10.0), (3, 30.0), (2, 20.0)])]})
    assert [decode_aggregate(value) for _, value in out.produced[0]] == [
        Aggregate(1, 1.0, 10.0),
        Aggregate(1, 2.0, 15.0),
        Aggregate(1, 3.0, 25.0),
    ]
    assert out.counts["late"] == 1


arrivals = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 14), st.integers(0, 9)), min_size=8, max_size=40)


@given(
    arrivals,
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=8),
    st.sets(st.integers(0, 39)),
    st.sets(st.integers(0, 39)),
)
@settings(max_examples=800)
def test_averages_are_exact_however_the_two_topics_interleave(
    readings: list[tuple[int, int, int]], polls: list[tuple[int, int]], borders: set[int], evictions: set[int]
) -> None:
    """The loader may have read `aggregated-data` further than `processed-data`, or the other way round.

    A batch of the aggregation ends at `borders`; where it is in `evictions`, the sensor idle for longer is evicted.
    """
    processed = [reading(i, sensor, float(time), float(value)) for i, (sensor, time, value) in enumerate(readings)]
    state = State()
    aggregate = Average(state, window=3, lateness=2)
    produced = []
    begin = 0
    for end in sorted(border for border in {*borders, len(processed)} if border <= len(processed)):
        produced += aggregate({0: processed[begin:end]}).produced[0]
        begin = end
        if end in evictions:
            state.evict(0, 1)
    aggregated = [Rec(i, key, value) for i, (key, value) in enumerate(produced)]
    temperature: dict[tuple[int, float], float] = {}
    averages: dict[tuple[int, float], float] = {}
    position = Position.at({(PROCESSED_DATA, 0): 0, (AGGREGATED_DATA, 0): 0})
    p = a = turn = 0
    while p < len(processed) or a < len(aggregated) or position.held:
        more_p, more_a = polls[turn % len(polls)] if turn < 50 else (1, 1)
        turn += 1
        batch, p = processed[p : p + more_p], min(len(processed), p + more_p)
        waiting, a = aggregated[a : a + more_a], min(len(aggregated), a + more_a)
        draft = Draft(position, {0: batch} if batch else {}, {0: waiting} if waiting else {})
        for _ in draft.take(2):
            pass
        found, position = draft.plan()
        for key, value in found.readings.items():
            temperature.setdefault(key, value)
        for step in found.averages:
            averages.update(step.stored)
            for sensor, time in step.repairs:
                averages.update(oracle(temperature, sensor, time))
    expected: dict[tuple[int, float], float] = {}
    for sensor in range(3):
        expected.update(oracle(temperature, sensor, -1))
    assert averages == expected


def oracle(table: dict[tuple[int, float], float], sensor: int, since: float) -> dict[tuple[int, float], float]:
    """A repair, as SQL does it: the averages of three readings from `since` on (of all, when that is -1)."""
    times = sorted(time for number, time in table if number == sensor)
    exact = {
        (sensor, time): average([table[sensor, t] for t in times[max(0, i - 2) : i + 1]])
        for i, time in enumerate(times)
    }
    affected = [time for time in times if time >= since]
    return {(sensor, time): exact[sensor, time] for time in (affected if since < 0 else affected[:3])}
