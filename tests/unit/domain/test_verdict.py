"""The verdict against tables that are right, and tables that are wrong in one known way."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.average import average
from backend_demo.domain.identities import identities
from backend_demo.domain.reading import Reading, encode
from backend_demo.domain.verdict import EXAMPLES, Entry, Expected, StoredIdentity, Verdict, judge

WINDOW = 3

identity = st.tuples(st.integers(1, 4), st.integers(0, 30).map(float))
hundredths = st.integers(-1000, 5000).map(lambda n: n / 100)
sent = st.dictionaries(identity, st.tuples(hundredths, st.sampled_from(["sent", "acked", "failed"])), max_size=60)

Stored = dict[tuple[int, float], float]


def ledger(readings: dict) -> list[Entry]:
    """The lines of these readings, in any order, as the network may bring acknowledgements."""
    lines = []
    for (sensor, timestamp), (value, state) in readings.items():
        lines.append(Entry(sensor, timestamp, value, "sent"))
        if state != "sent":
            lines.append(Entry(sensor, timestamp, value, state))
    random.Random(len(lines)).shuffle(lines)
    return lines


def tables(stored: Stored) -> list[StoredIdentity]:
    """Both tables as they should be, by brute force."""
    rows = []
    for sensor, timestamp in sorted(stored):
        before = [stored[s, t] for s, t in sorted(stored) if s == sensor and t <= timestamp]
        rows.append(StoredIdentity(sensor, timestamp, stored[sensor, timestamp], average(before[-WINDOW:])))
    return rows


def wrong(verdict: Verdict) -> dict[str, int]:
    return {name: findings.count for name, findings in verdict.findings.items() if findings.count}


@given(sent, st.data())
def test_tables_are_right_whatever_became_of_what_was_not_acknowledged(readings: dict, data: st.DataObject) -> None:
    stored = {
        identity: value for identity, (value, state) in readings.items() if state == "acked" or data.draw(st.booleans())
    }
    refused = [identity for identity in stored if data.draw(st.booleans())]
    for identity in refused:
        del stored[identity]
    verdict = judge(ledger(readings), tables(stored), refused, window=WINDOW)
    assert verdict.passed, wrong(verdict)
    assert verdict.ledger == len(readings)
    assert verdict.acked == sum(state == "acked" for _, state in readings.values())
    assert verdict.readings == verdict.averages == len(stored)
    assert verdict.dead_letters == len(refused)


@given(sent.filter(lambda readings: any(state == "acked" for _, state in readings.values())), st.data())
def test_one_missing_row_is_one_lost_reading(readings: dict, data: st.DataObject) -> None:
    acked = sorted(identity for identity, (_, state) in readings.items() if state == "acked")
    gone = data.draw(st.sampled_from(acked))
    stored = {identity: value for identity, (value, _) in readings.items() if identity != gone}
    verdict = judge(ledger(readings), tables(stored), window=WINDOW)
    assert wrong(verdict) == {"lost": 1}
    assert verdict.lost.examples == [(*gone, readings[gone][0], None)]


@given(sent.filter(bool), st.data())
def test_another_value_is_altered(readings: dict, data: st.DataObject) -> None:
    stored = {identity: value for identity, (value, _) in readings.items()}
    changed = data.draw(st.sampled_from(sorted(stored)))
    stored[changed] += 0.01
    verdict = judge(ledger(readings), tables(stored), window=WINDOW)
    assert wrong(verdict) == {"altered": 1}
    assert verdict.altered.examples == [(*changed, readings[changed][0], stored[changed])]


@given(sent.filter(bool), st.data())
def test_a_row_that_nobody_sent_is_invented_within_the_span_of_the_ledger(readings: dict, data: st.DataObject) -> None:
    stored = {identity: value for identity, (value, _) in readings.items()}
    sensor = data.draw(st.sampled_from(sorted({sensor for sensor, _ in stored})))
    timestamp = data.draw(st.floats(-5, 35, allow_nan=False).map(lambda t: round(t, 1) + 0.05))
    times = [time for _, time in readings]
    inside = min(times) <= timestamp <= max(times)
    stored[sensor, timestamp] = 20.0
    assert wrong(judge(ledger(readings), tables(stored), window=WINDOW)) == ({"invented": 1} if inside else {})
    found = judge(ledger(readings), tables(stored), window=WINDOW, of_others={(sensor, timestamp)})
    assert (wrong(found), found.of_others) == ({}, inside)


@given(sent.filter(bool), st.data())
def test_tables_must_pair_up(readings: dict, data: st.DataObject) -> None:
    rows = tables({identity: value for identity, (value, _) in readings.items()})
    at = data.draw(st.integers(0, len(rows) - 1))
    row = rows[at]
    for changed, finding in (
        (row._replace(average=None), "average_missing"),
        (row._replace(average=row.average + 0.01), "average_wrong"),
        (StoredIdentity(row.sensor, row.timestamp + 0.5, None, 20.0), "average_orphaned"),
    ):
        seen = [*rows[:at], *([row] if finding == "average_orphaned" else []), changed, *rows[at + 1 :]]
        assert wrong(judge(ledger(readings), seen, window=WINDOW)) == {finding: 1}
    assert wrong(judge(ledger(readings), [*rows[: at + 1], *rows[at:]], window=WINDOW)) == {"doubled": 1}


def test_only_the_first_examples_are_kept() -> None:
    verdict = judge(ledger({(1, float(n)): (21.0, "acked") for n in range(100)}), [], window=WINDOW)
    assert verdict.lost.count == 100
    assert [finding.timestamp for finding in verdict.lost.examples] == [float(n) for n in range(EXAMPLES)]


def test_a_ledger_of_many_readings_is_small() -> None:
    expected = Expected(Entry(n % 10, float(n), 21.5, "acked") for n in range(10_000))
    assert sum(part.itemsize * len(part) for of in expected._lines.values() for part in of[:2]) == 160_000


@pytest.mark.parametrize(
    ("key", "raw", "found"),
    [
        (b"7", encode(Reading(7, 5.5, 300.0)), [(7, 5.5)]),
        (b"sensors/7/temperature", b'{"timestamp": "5.5", "value": "21.5"}', [(7, 5.5)]),
        (
            b"/sensor7/temp",
            b'[{"timestamp": 5.5, "value": 1}, 3, {"timestamp": 9e9, "value": 1}]',
            [(7, 5.5), (7, 9e9)],
        ),
        (b"sensors/7/temperature", b'{"timestamp": 5.5, "value": "warm"}', []),
        (b"sensors/7/humidity", b'{"timestamp": 5.5, "value": 21.5}', []),
        (None, b'{"timestamp": 5.5, "value": 21.5}', []),
        (b"\xff", b"\xff", []),
        (b"7", None, []),
        (b"7", b"", []),
        (b"sensors/7/temperature", b"[" * 10_000, []),
        (b"sensors/7/temperature", b'{"timestamp": "inf", "value": 1}', []),
        (b"sensors/7/temperature", b'{"timestamp": 1e305, "value": 1}', []),
    ],
)
def test_a_dead_letter_names_its_readings(key: bytes | None, raw: bytes | None, found: list) -> None:
    assert identities(key, raw) == found
