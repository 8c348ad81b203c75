"""The way of one reading, from what is found of it in whatever order."""

from __future__ import annotations

import itertools
import random

import pytest

from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.reading import Aggregate, Reading, encode
from backend_demo.domain.topics import AGGREGATED_DATA, DEAD_LETTER, PROCESSED_DATA, SENSOR_DATA, SRC_DATA
from backend_demo.operations.kafka_record import KafkaRecord
from backend_demo.operations.trace.mark import Mark
from backend_demo.operations.trace.path import ACKNOWLEDGED, PUBLISHED, SEEN, Location, Path, Trace, steps

NOW = 1_700_000_000.0
TOPIC = "sensors/7/temperature"
PAYLOAD = b'{"value": 21.5, "timestamp": 1700000000.25}'
READING = Reading(7, 1_700_000_000.25, 21.5)
_offsets = itertools.count()


def mark(payload: bytes = PAYLOAD) -> Mark:
    return Mark.of(7, TOPIC, payload, NOW)


def record(topic: str, value: bytes | None, key: bytes | None = b"7", at_ms: float = 0.0) -> KafkaRecord:
    return KafkaRecord(topic, 3, next(_offsets), NOW + at_ms / 1000, key, value)


def dead_letter(stage: str, origin: str, raw: bytes, key: bytes, at_ms: float = 0.0) -> KafkaRecord:
    letter = DeadLetter(stage, "range", "out of it", raw, key, origin, 3, 5)
    return KafkaRecord(DEAD_LETTER, 3, next(_offsets), NOW + at_ms / 1000, key, raw, tuple(letter.headers()))


def way(at_ms: dict[str, float]) -> list[KafkaRecord]:
    """The reading's records of all topics but `dead-letter`, with these times."""
    values = {
        SENSOR_DATA: (PAYLOAD, TOPIC.encode()),
        SRC_DATA: (encode(READING), b"7"),
        PROCESSED_DATA: (encode(READING), b"7"),
        AGGREGATED_DATA: (encode(Reading(7, READING.timestamp, 20.33)), b"7"),
    }
    return [record(topic, *values[topic], at_ms=ms) for topic, ms in at_ms.items()]


TIMES = {SENSOR_DATA: 3.0, SRC_DATA: 5.0, PROCESSED_DATA: 9.0, AGGREGATED_DATA: 12.0}
REACHED = {
    ACKNOWLEDGED: 1.5,
    "table temperature": 20.0,
    "table average": 22.0,
    "REST /temperature": 26.0,
    "REST /average": 27.0,
}


def follow(
    path: Path, records: list[KafkaRecord], reached: dict[str, float] = REACHED, seed: int | None = None
) -> Trace:
    """Tells all of it, in an order of chance when there is a seed."""
    found: list[KafkaRecord | tuple[str, float]] = [*records, *reached.items()]
    if seed is not None:
        random.Random(seed).shuffle(found)
    for one in found:
        if isinstance(one, KafkaRecord):
            path.see(one, NOW)
        else:
            path.reach(one[0], NOW + one[1] / 1000, Location("x"))
    return path.trace()


@pytest.mark.parametrize("seed", range(20))
def test_hops_in_the_order_of_the_way_whatever_is_found_first(seed: int) -> None:
    trace = follow(Path(mark(), published=True, rest=True), way(TIMES), seed=seed)
    assert trace.outcome == "served"
    assert trace.missing == ()
    assert {hop.name: (hop.since_previous_ms, hop.since_start_ms) for hop in trace.hops} == {
        PUBLISHED: (0, 0),
        ACKNOWLEDGED: (1.5, 1.5),
        SENSOR_DATA: (3, 3),
        SRC_DATA: (2, 5),
        PROCESSED_DATA: (4, 9),
        "table temperature": (11, 20),
        "REST /temperature": (6, 26),
        AGGREGATED_DATA: (3, 12),
        "table average": (10, 22),
        "REST /average": (5, 27),
    }
    assert [hop.name for hop in trace.hops] == [step.name for step in steps(published=True, rest=True)]
    assert trace.total_ms == 27
    assert (trace.sensor, trace.timestamp, trace.value) == (7, READING.timestamp, 21.5)


def test_a_hop_tells_where_it_is() -> None:
    records = way(TIMES)
    trace = follow(Path(mark(), published=True, rest=True), records)
    place = next(hop for hop in trace.hops if hop.name == SRC_DATA).place
    assert place == Location(encode(READING).decode(), SRC_DATA, 3, records[1].offset, "7")


def test_clocks_that_run_backwards_by_a_millisecond() -> None:
    """Kafka cuts its times to milliseconds: no hop takes less than nothing, and the sums agree."""
    times = {SENSOR_DATA: -0.7, SRC_DATA: 2.0, PROCESSED_DATA: 1.0, AGGREGATED_DATA: 4.0}
    trace = follow(Path(mark(), published=True, rest=False), way(times))
    found = {hop.name: hop for hop in trace.hops}
    assert all(hop.since_previous_ms >= 0 for hop in trace.hops)
    for hop in trace.hops:
        if hop.after:
            assert hop.since_start_ms == pytest.approx(found[hop.after].since_start_ms + hop.since_previous_ms)
    assert found[SENSOR_DATA].since_start_ms == 0
    assert found[SENSOR_DATA].when == pytest.approx(NOW - 0.0007)
    assert found[PROCESSED_DATA].since_start_ms == 2


def test_what_belongs_to_others_is_left_alone() -> None:
    path = Path(mark(), published=True, rest=True)
    later = Reading(7, READING.timestamp + 0.000001, 21.5)
    others = [
        record(SENSOR_DATA, PAYLOAD, b"sensors/8/temperature"),
        record(SENSOR_DATA, PAYLOAD + b" ", TOPIC.encode()),
        record(SRC_DATA, encode(Reading(8, READING.timestamp, 21.5)), b"8"),
        record(SRC_DATA, encode(later)),
        record(SRC_DATA, encode(Reading(7, READING.timestamp, 21.6))),
        record(SRC_DATA, None),
        record(SRC_DATA, b"\xff{"),
        record(AGGREGATED_DATA, encode(later)),
        record(AGGREGATED_DATA, b"[" * 100_000),
        dead_letter("collection", SENSOR_DATA, b"x", TOPIC.encode()),
        dead_letter("processing", SRC_DATA, encode(later), b"7"),
        # in conflict with ours
        dead_letter("loader", PROCESSED_DATA, encode(Reading(7, READING.timestamp, 21.6)), b"7"),
    ]
    assert not any(path.see(one, NOW) for one in others)
    assert [hop.name for hop in path.trace().hops] == [PUBLISHED]


def test_of_a_record_that_comes_twice_the_first_counts() -> None:
    path = Path(mark(), published=True, rest=True)
    first, second = (record(SRC_DATA, encode(READING), at_ms=ms) for ms in (5, 900))
    assert path.see(first, NOW)
    assert not path.see(second, NOW)
    assert path.trace().hops[-1].since_start_ms == 5


def test_a_repair_is_a_hop_as_an_average_is() -> None:
    path = Path(mark(), published=True, rest=True)
    assert path.see(record(AGGREGATED_DATA, encode(Aggregate(7, READING.timestamp, repair=5))), NOW)


def test_a_record_without_a_time_has_that_of_its_coming() -> None:
    path = Path(mark(), published=True, rest=True)
    assert path.see(KafkaRecord(SRC_DATA, 3, 1, None, b"7", encode(READING)), NOW + 0.25)
    assert path.trace().hops[-1].since_start_ms == 250


@pytest.mark.parametrize(
    ("stage", "origin", "raw", "key", "passed"),
    [
        ("bridge", TOPIC, PAYLOAD, TOPIC.encode(), [PUBLISHED]),
        ("collection", SENSOR_DATA, PAYLOAD, TOPIC.encode(), [PUBLISHED, SENSOR_DATA]),
        ("processing", SRC_DATA, encode(READING), b"7", [PUBLISHED, SENSOR_DATA, SRC_DATA]),
        ("loader", PROCESSED_DATA, encode(READING), b"7", [PUBLISHED, SENSOR_DATA, SRC_DATA, PROCESSED_DATA]),
    ],
)
@pytest.mark.parametrize("last_first", [False, True])
def test_a_refused_reading_ends_in_the_dead_letters(
    stage: str, origin: str, raw: bytes, key: bytes, passed: list[str], last_first: bool
) -> None:
    path = Path(mark(), published=True, rest=True)
    path.reach(ACKNOWLEDGED, NOW + 0.001, Location())
    found = [one for one in way(TIMES) if one.topic in passed] + [dead_letter(stage, origin, raw, key, 15)]
    for one in reversed(found) if last_first else found:
        assert not path.over
        assert path.see(one, NOW)
    assert path.over
    trace = path.trace()
    assert trace.outcome == "refused"
    assert [hop.name for hop in trace.hops if hop.name != ACKNOWLEDGED] == [*passed, DEAD_LETTER]
    last = trace.hops[-1]
    assert (last.service, last.after, last.since_start_ms) == (stage, passed[-1], 15)
    assert trace.refusal is not None
    assert (trace.refusal.stage, trace.refusal.reason, trace.refusal.detail) == (stage, "range", "out of it")


def test_of_an_array_its_last_reading_is_followed() -> None:
    items = (b'{"value": 1, "timestamp": 10}', b'{"value": 2, "timestamp": 11}', b'{"value": "x"}')
    array = mark(b"[%b, %b, %b]" % items)
    assert array.reading == Reading(7, 11.0, 2.0)
    path = Path(array, published=False, rest=True)
    # its neighbours may be refused
    assert not path.see(dead_letter("collection", SENSOR_DATA, items[2], TOPIC.encode()), NOW)
    assert not path.see(record(SRC_DATA, encode(Reading(7, 10.0, 1.0))), NOW)
    assert path.see(record(SRC_DATA, encode(Reading(7, 11.0, 2.0))), NOW)


def test_a_message_without_a_reading_is_followed_by_its_bytes() -> None:
    for payload, raw in ((b"", b""), (b"\xff", b"\xff"), (b'["x", "y"]', b'"x"')):
        path = Path(mark(payload), published=False, rest=True)
        assert path.trace().timestamp is None
        assert not path.see(dead_letter("collection", SENSOR_DATA, b"other", TOPIC.encode()), NOW)
        assert path.see(dead_letter("collection", SENSOR_DATA, raw, TOPIC.encode()), NOW)


def test_without_a_gateway_it_ends_in_the_tables() -> None:
    path = Path(mark(), published=True, rest=False)
    reached = {name: at for name, at in REACHED.items() if not name.startswith("REST")}
    assert follow(path, way(TIMES), reached).outcome == "stored"
    assert path.over


def test_where_it_stands() -> None:
    path = Path(mark(), published=True, rest=True)
    assert [step.name for step in path.trace().stands_before] == [ACKNOWLEDGED, SENSOR_DATA]
    records = way(TIMES)
    trace = follow(path, records[:2], {ACKNOWLEDGED: 1.5})
    assert [(step.name, step.service) for step in trace.stands_before] == [(PROCESSED_DATA, "processing")]
    assert trace.outcome == "under way"
    path.see(records[2], NOW)
    assert [step.name for step in path.trace().stands_before] == ["table temperature", AGGREGATED_DATA]
    path.time_out()
    assert path.trace().outcome == "timed out"


def test_troubles_last_until_it_has_come() -> None:
    path = Path(mark(), published=True, rest=True)
    path.trouble("table average", "PostgreSQL: it refuses connections")
    assert path.trace().troubles == {"table average": "PostgreSQL: it refuses connections"}
    path.reach("table average", NOW, Location())
    path.trouble("table average", "PostgreSQL: it refuses connections")
    assert path.trace().troubles == {}


def test_a_reading_that_was_there_before_changes_no_average() -> None:
    """Somebody's sensor has published it twice: the second one has no record of `aggregated-data`."""
    path = Path(mark(), published=False, rest=True)
    reached = {name: at - 5000 for name, at in REACHED.items() if name != ACKNOWLEDGED}
    trace = follow(path, way(TIMES)[:3], reached)
    assert path.repeated
    assert trace.outcome == "under way"
    assert all(hop.since_start_ms >= 0 for hop in trace.hops)
    path.time_out()
    assert path.trace().outcome == "repeated"


def test_a_row_with_another_value_is_not_its_own() -> None:
    """Of two values under one identity the first wins; ours becomes a dead letter."""
    path = Path(mark(), published=False, rest=True)
    assert path.owns("temperature", 21.5)
    assert not path.owns("temperature", 21.6)
    assert path.owns("average", 20.33)


def test_what_we_have_published_is_new() -> None:
    path = Path(mark(), published=True, rest=True)
    follow(path, way(TIMES)[:3])
    assert not path.repeated


def test_the_bridge_may_see_a_message_before_us() -> None:
    """Under load, by a second: the way begins with the bridge's record then."""
    path = Path(mark(), published=False, rest=True)
    trace = follow(path, way({SENSOR_DATA: -800, SRC_DATA: -790, PROCESSED_DATA: -780}), {})
    assert [(hop.name, hop.since_start_ms) for hop in trace.hops] == [
        (SEEN, 0),
        (SENSOR_DATA, 0),
        (SRC_DATA, 10),
        (PROCESSED_DATA, 20),
    ]
