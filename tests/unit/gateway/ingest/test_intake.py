"""Accepted items become records, refused ones dead letters, and the answer says which and why."""

from __future__ import annotations

import base64
import json

import pytest

from backend_demo.domain.reading import Reading, Rejected, decode_payload
from backend_demo.domain.topics import DEAD_LETTER, PARTITIONS, SENSOR_DATA
from backend_demo.faust_batch.producer import partition_of
from backend_demo.gateway.ingest.intake import LISTED_MAX, Acknowledged, Intake
from backend_demo.gateway.ingest.items import JsonObjects
from backend_demo.gateway.ingest.publisher import basic
from backend_demo.gateway.ingest.split import JsonItems
from backend_demo.gateway.ingest.writer import to_messages


def decode(sensor: int, payload: bytes) -> Reading | Rejected:
    return decode_payload(sensor, payload, now=1.7e9, future_tolerance_s=60, time_min=946_684_800)[0]


@pytest.fixture
def intake() -> Intake:
    return Intake(
        JsonItems(200),
        JsonObjects(decode),
        may_publish=lambda topic: topic != "sensors/8/temperature",
        value_min=-100,
        value_max=200,
    )


def test_records_dead_letters_and_refusals(intake: Intake) -> None:
    items: list[object] = [
        {"sensor": 7, "value": "21.50", "timestamp": "2020-09-13T12:26:40Z", "note": "as the device has it"},
        {"sensor": 8, "value": 1, "timestamp": 1.6e9},
        5,
        {"sensor": 7, "value": 999, "timestamp": 1.6e9},
        {"sensor": 9, "value": 3, "timestamp": 1.6e9},
    ]
    for byte in json.dumps(items).encode():
        intake.feed(bytes([byte]))
    intake.end()
    part = intake.take()
    assert part.records == [
        (b"sensors/7/temperature", b'{"value":21.5,"timestamp":1600000000.0}'),
        (b"sensors/9/temperature", b'{"value":3.0,"timestamp":1600000000.0}'),
    ]
    refused = [(1, "rights"), (2, "json"), (3, "range")]
    assert [(one.index, one.reason) for one in part.refusals] == refused
    assert [(letter.stage, letter.reason, letter.key, letter.raw) for letter in part.dead_letters] == [
        ("gateway", "rights", b"sensors/8/temperature", json.dumps(items[1]).encode()),
        ("gateway", "json", None, b"5"),
        ("gateway", "range", b"sensors/7/temperature", json.dumps(items[3]).encode()),
    ]
    messages = to_messages(part)
    assert sum(len(found) for (topic, _), found in messages.items() if topic == SENSOR_DATA) == 2
    assert sum(len(found) for (topic, _), found in messages.items() if topic == DEAD_LETTER) == 3
    for (topic, partition), found in messages.items():
        if topic == SENSOR_DATA:
            assert {partition_of(message[0] or b"", PARTITIONS) for message in found} == {partition}
    done = Acknowledged()
    done.add(part)
    assert (done.accepted, done.refused, done.listed) == (2, 3, part.refusals)
    assert intake.take().records == []


def test_a_body_without_readings_is_refused_as_empty(intake: Intake) -> None:
    intake.feed(b" [ ] ")
    intake.end()
    assert [(one.index, one.reason) for one in intake.take().refusals] == [(0, "empty")]


def test_indices_go_on_over_parts_and_the_list_is_bounded(intake: Intake) -> None:
    done = Acknowledged()
    intake.feed(b"[0")
    for _ in range(3):
        intake.feed(b",0" * 600)
        done.add(intake.take())
    intake.feed(b"]")
    intake.end()
    done.add(intake.take())
    assert (done.refused, len(done.listed)) == (1801, LISTED_MAX)
    assert [one.index for one in done.listed] == list(range(LISTED_MAX))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic " + base64.b64encode(b"me:pass:word").decode(), ("me", b"pass:word")),
        ("basic  " + base64.b64encode(b"me:\xff").decode(), ("me", b"\xff")),
        ("Basic " + base64.b64encode(b"nobody").decode(), None),
        ("Basic " + base64.b64encode(b"\xff:x").decode(), None),
        ("Basic ???", None),
        ("Bearer " + base64.b64encode(b"me:x").decode(), None),
        ("Basic", None),
        ("", None),
    ],
)
def test_basic_credentials(header: str, expected: tuple[str, bytes] | None) -> None:
    assert basic(header) == expected
