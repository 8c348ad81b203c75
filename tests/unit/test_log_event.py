"""One event of a log: through JSON and back, as a short line, and how serious other programs' lines are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend_demo import log_event

EVENT = {"time": "2026-11-24T12:00:00.250Z", "level": "warning", "event": "commit failed"}

texts = st.text(st.characters(), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from("\u2028\x85\ud800") | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.none(), inner, max_size=3),
    max_leaves=8,
)


def said(event: dict[str, Any], *, today: str = "2026-11-24") -> list[str]:
    return ["".join(text for text, _ in parts) for parts in log_event.short(event, today=today)]


@given(keys=st.dictionaries(st.sampled_from(["a", "b", "c"]), values))
def test_every_event_is_one_line_of_json(keys: dict[str, Any]) -> None:
    line = log_event.to_json({**EVENT, **keys})
    assert line.splitlines() == [line]
    line.encode()
    found = log_event.from_json(line)
    assert found is not None
    assert found.keys() == {*EVENT, *keys}
    json.loads(line, parse_constant=pytest.fail)  # NaN is no JSON


def test_what_cannot_be_json_is_text() -> None:
    circle: list[object] = []
    circle.append(circle)
    line = log_event.to_json({**EVENT, "circle": circle, "keys": {(1, 2): 3}, "none": float("nan"), "partition": 3})
    assert json.loads(line) == {**EVENT, "circle": "[[...]]", "keys": "{(1, 2): 3}", "none": "nan", "partition": 3}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "2026-11-24T12:00:00.250000Z [info     ] ready service=loader",
        '{"time":"2026-11-24T12:00:00.250Z","level":"info","ev',
        '{"time": 5, "level": "info", "event": "x"}',
        '{"somebody": "else"}',
        '{"a":' * 100_000,
        "[1, 2]",
        "{}",
    ],
)
def test_other_lines_are_no_events(line: str) -> None:
    assert log_event.from_json(line) is None
    assert log_event.readable(line) == [[(line, "")]]


def test_a_short_line_has_time_level_event_and_keys() -> None:
    event = {**EVENT, "service": "loader", "logger": "backend_demo.x", "pid": 7, "partitions": 8, "reason": "no leader"}
    assert said(event) == ['12:00:00.250Z warning commit failed partitions=8 reason="no leader"']


def test_the_date_is_said_when_it_is_another_day() -> None:
    assert said(EVENT, today="2026-11-25") == ["2026-11-24 12:00:00.250Z warning commit failed"]


def test_the_logger_is_said_when_it_is_not_ours() -> None:
    assert said({**EVENT, "logger": "aiokafka.conn"})[0].endswith("commit failed logger=aiokafka.conn")


def test_a_traceback_and_the_rest_of_an_event_follow_in_lines_of_their_own() -> None:
    event = {**EVENT, "event": "lost\nand found", "exception": "Traceback:\n  File x\nValueError: no"}
    assert said(event)[1:] == ["    and found", "    Traceback:", "      File x", "    ValueError: no"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("20 °C", '"20 °C"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ("\x1b[31m\n", r'"\u001b[31m\n"'),
        (None, "null"),
        (["sensors/#"], '["sensors/#"]'),
        (object, "\"<class 'object'>\""),
    ],
)
def test_a_value_is_quoted_where_it_must_be(value: object, shown: str) -> None:
    assert log_event.summary({**EVENT, "key": value}) == f"commit failed key={shown}"


@given(st.text(st.characters(exclude_characters="\n")))
@example('2026-11-24 12:00:00.250 UTC [1] FATAL:  role "\x1b[2J\\x9b31m" does not exist')
def test_the_line_of_another_program_can_neither(line: str) -> None:
    (parts,) = log_event.readable(line)
    assert all(character.isprintable() or character == "\t" for text, _ in parts for character in text)


@given(st.text())
def test_a_forged_level_or_time_can_neither(text: str) -> None:
    shown = said({**EVENT, "time": text, "level": text})
    assert all(character.isprintable() or character == "\t" for line in shown for character in line)


@given(st.text(), st.text())
@example("\x7f", "\x7f")
def test_nothing_shown_can_move_the_cursor(event: str, value: str) -> None:
    shown = said({**EVENT, "event": event, "key": value, "exception": value})
    assert all(character.isprintable() or character == "\t" for line in shown for character in line)


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (log_event.to_json(EVENT), "warning"),
        ("2026-11-24T12:00:00.250000Z [info     ] ready service=loader", "info"),
        ("2026-11-24T12:00:00.250Z INFO  KafkaRaftServer the ERROR of yesterday", "info"),
        ("[2026-11-24 12:00:00,250] WARN [Producer] slow", "warning"),
        ("2026-11-24 12:00:00.250 UTC [17990] LOG:  ready", "info"),
        ("2026-11-24 12:00:00.250 UTC [17990] FATAL:  role does not exist", "critical"),
        ("[17989] 2026/11/24 12:00:00.250000 [ERR] no space", "error"),
        ('time=2026-11-24T12:00:00.250Z level=INFO source=main.go:1 msg="ERROR page"', "info"),
        ("logger=sqlstore t=2026-11-24T12:00:00.25Z level=warn msg=x", "warning"),
        ("error: the disk is on fire", "error"),
        ("Traceback (most recent call last):", "error"),
        ("Fatal Python error: Segmentation fault", "critical"),
        ("  File x, line 3, in ERROR", None),
        ("hint: see bdemo logs", None),
        ("", None),
    ],
)
def test_every_program_s_level_is_read(line: str, level: str | None) -> None:
    assert log_event.level_of(line) == level
