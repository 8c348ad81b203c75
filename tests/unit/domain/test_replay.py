"""What a replay sends for a dead letter, and why it may send nothing."""

import json
from typing import Any

import pytest

from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.letter_mark import ReplayedReading
from backend_demo.domain.mapping import DeviceMapping, Mappings
from backend_demo.domain.reading import Reading, Rejected, decode_payload
from backend_demo.domain.replay import Edit, Limits, decide, message

NOW = 1_764_000_000.0
REFUSED_AT = NOW - 3600.25
LIMITS = Limits(-100, 200, 60, 946_684_800)
MILLISECONDS = Mappings([DeviceMapping(topic="home/{sensor}/t", value="t", time="at", time_format="ms")])
FAHRENHEIT = Mappings(
    [DeviceMapping(topic="sensors/{sensor}/temperature", value="value", time="timestamp", unit="F")],
)
ARRIVAL = Mappings([DeviceMapping(topic="home/{sensor}/t", value="t", time="arrival")])


def letter(
    raw: bytes | None, *, key: str | None = "sensors/7/temperature", topic: str = "sensor-data", **fields: Any
) -> DeadLetter:
    return DeadLetter(
        fields.get("stage", "collection"), fields.get("reason", "json"), "", raw, key and key.encode(), topic, 0, 1
    )


def decided(found: DeadLetter, edit: Edit = Edit(), limits: Limits = LIMITS) -> list[Any] | Rejected:
    return decide(found, edit, limits, refused_at=REFUSED_AT, now=NOW)


def inside(value: float, timestamp: float = NOW, reason: str = "range") -> DeadLetter:
    raw = json.dumps({"sensor": 7, "timestamp": timestamp, "value": value}).encode()
    return letter(raw, key="7", topic="src-data", stage="processing", reason=reason)


def posted(raw: bytes, columns: str = "") -> DeadLetter:
    key, origin = b"sensors/7/temperature", "POST /v1/readings"
    return DeadLetter("gateway", "range", "", raw, key, origin, columns=columns)


AT = b'"timestamp": 1763000000.5'
REPLAYED = [ReplayedReading("7", 1_763_000_000.5, 21.5)]


@pytest.mark.parametrize(
    ("found", "edit"),
    [
        (letter(b'{"value": "21.5", %b}' % AT), Edit()),
        (letter(b'{"value": "warm", %b}' % AT), Edit(value=21.5)),
        (letter(b"{%b}" % AT), Edit(value=21.5)),
        (letter(b'{"value": 1, "value": 2, %b}' % AT), Edit(value=21.5)),
        (letter(b'{"value": 21.5, "timestamp": "yesterday"}'), Edit(timestamp=1_763_000_000.5)),
        (letter(b'{"value": 21.5, "timestamp": 1763000000500}'), Edit(timestamp=1_763_000_000.5)),
        (letter(b'{"value": 21.5, %b}' % AT, key="garage/t"), Edit(sensor="7")),
        (posted(b'{"sensor": 7, "value": 999, %b}' % AT), Edit(value=21.5)),
        (posted(b"1763000000.5, 999 ,x,7", "timestamp,Value,note,sensor"), Edit(value=21.5)),
        (posted(b'"2025-11-13T02:13:20.5Z",21.5,7', "timestamp,value,sensor"), Edit()),
        (letter(b"\xff\x00", key=None), Edit(sensor="7", timestamp=1_763_000_000.5, value=21.5)),
        (letter(None), Edit(sensor="7", timestamp=1_763_000_000.5, value=21.5)),
        (inside(999, 1_763_000_000.5), Edit(value=21.5)),
        (inside(70.7, 1_763_000_000.5), Edit(mappings=FAHRENHEIT)),
        (letter(b'{"t": 21.5, "at": 1763000000500}', key="home/7/t"), Edit(mappings=MILLISECONDS)),
        (letter(b'{"t": 999, "at": 1763000000500}', key="home/7/t"), Edit(value=21.5, mappings=MILLISECONDS)),
        (letter(b'{"value": 21.5, %b}' % AT, stage="mqtt", topic="sensors/7/temperature", reason="rights"), Edit()),
    ],
)
def test_what_is_sent(found: DeadLetter, edit: Edit) -> None:
    assert decided(found, edit) == REPLAYED


@pytest.mark.parametrize(
    ("found", "edit", "reason", "detail"),
    [
        (letter(b"not json"), Edit(), "json", ""),
        (letter(b"not json"), Edit(value=1), "json", "Expecting value"),
        (letter(b"[1]"), Edit(value=1), "json", "not an object"),
        (posted(b"1,2", "timestamp,value,sensor"), Edit(value=1), "json", "Extra data"),
        (posted(b"now,21,7", "timestamp,value,sensor"), Edit(), "time", "neither"),
        (letter(b'{"value": 1}'), Edit(value=2), "field", "timestamp is missing"),
        (letter(b'{"value": 1, "value": 2, %b}' % AT), Edit(timestamp=NOW), "field", "value more than once"),
        (letter(b'{"value": 1, "timestamp": 5}'), Edit(), "old", "5 is before 2000-01-01"),
        (letter(b'{"value": 1, "timestamp": 1.9e9}'), Edit(), "future", "ahead of now"),
        (letter(b'{"value": 1, "timestamp": "inf"}'), Edit(), "time", "neither"),
        (letter(b'{"value": 1, %b}' % AT), Edit(value=999.0), "range", "999.0 is not in -100 to 200"),
        (letter(b'{"value": 1, %b}' % AT, key="garage/t"), Edit(), "topic", "no sensor in 'garage/t'"),
        (letter(b'{"value": 1, %b}' % AT, key=None), Edit(), "topic", "no sensor"),
        (letter(b'{"value": 1, %b}' % AT, key="garage/t"), Edit(mappings=MILLISECONDS), "topic", "no mapping matches"),
        (letter(b'{"t": null, "at": 1}', key="home/7/t"), Edit(mappings=MILLISECONDS), "field", "not a number"),
        (letter(None), Edit(), "empty", "no payload"),
        (letter(b"{}", topic="aggregated-data", stage="loader"), Edit(), "topic", "a record of aggregated-data"),
        (inside(20, reason="conflict"), Edit(), "conflict", "another value is stored"),
        (inside(20, reason="conflict"), Edit(value=21), "conflict", "another value is stored"),
    ],
)
def test_why_nothing_is_sent(found: DeadLetter, edit: Edit, reason: str, detail: str) -> None:
    told = decided(found, edit)
    assert isinstance(told, Rejected)
    assert told.reason == reason
    assert detail in told.detail


def test_a_conflict_is_sent_with_another_time() -> None:
    assert decided(inside(20, reason="conflict"), Edit(timestamp=NOW - 1)) == [ReplayedReading("7", NOW - 1, 20.0)]


def test_an_array_is_sent_whole_or_not_at_all() -> None:
    both = b'[{"value": 1, "timestamp": 1763000000}, {"value": %b, "timestamp": 1763000001}]'
    whole = decided(letter(both % b"2"))
    assert whole == [ReplayedReading("7", 1_763_000_000.0, 1.0), ReplayedReading("7", 1_763_000_001.0, 2.0)]
    part = decided(letter(both % b'"warm"'))
    assert isinstance(part, Rejected)
    assert part.detail.startswith("item 1: not a finite number")


def test_a_time_of_arrival_is_that_of_the_refusal_whenever_it_is_sent() -> None:
    """Else a replay that is repeated would be another reading."""
    limits = Limits(-100, 200, 60, 946_684_800, ARRIVAL)
    found = letter(b'{"t": 3}', key="home/hall/t")
    sent = [decide(found, Edit(), limits, refused_at=REFUSED_AT, now=NOW + later) for later in (0, 1000)]
    assert sent == [[ReplayedReading("hall", REFUSED_AT, 3.0)]] * 2


def test_what_is_sent_is_what_the_collection_reads() -> None:
    key, payload = message(ReplayedReading("7", 1_763_000_000.123457, -0.1), LIMITS)
    assert key == b"sensors/7/temperature"
    found = decode_payload(7, payload, now=NOW, future_tolerance_s=60, time_min=0)
    assert found == [Reading(7, 1_763_000_000.123457, -0.1)]


def test_no_mapping_reads_what_is_sent() -> None:
    """A mapping that takes the usual topic would take degrees Celsius for something else."""
    mapped = Limits(-100, 200, 60, 946_684_800, FAHRENHEIT)
    key, _ = message(ReplayedReading("7", NOW, 1), mapped)
    assert key == b"/sensor7/temp"
    told = decided(letter(b"x", key="a"), Edit("hall", NOW, 1.0), mapped)
    assert isinstance(told, Rejected)
    assert told.detail == "a mapping takes what is sent to sensors/hall/temperature"
