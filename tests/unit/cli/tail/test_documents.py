"""Records, messages and events as JSON, one document per line."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.cli.tail.documents import event_line, message_line, record_line
from backend_demo.operations.kafka_record import KafkaRecord
from backend_demo.operations.tail.api import ReceivedEvent
from backend_demo.operations.tail.mqtt import MqttMessage
from tests.support.schemas import check_as


def record(value: bytes | None, key: bytes | None = b"3", **more: Any) -> KafkaRecord:
    return KafkaRecord(
        **{"topic": "src-data", "partition": 3, "offset": 17, "timestamp": 0.25, "headers": (), **more},
        key=key,
        value=value,
    )


def document(value: bytes | None, **more: Any) -> Any:
    return check_as("bdemo.tail.topic/1", json.loads(record_line(record(value, **more))))


@given(st.binary(), st.none() | st.binary(), st.none() | st.binary())
def test_any_record_is_one_line_of_json_that_no_terminal_obeys(
    name: bytes, key: bytes | None, value: bytes | None
) -> None:
    line = record_line(record(value, key, headers=((name.decode(errors="replace"), value),))).decode()
    assert all(character.isprintable() or character == " " for character in line if ord(character) < 0x100)
    assert json.loads(line)["offset"] == 17


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(), st.lists
    )
)
def test_a_json_value_is_told_as_that_value(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False)):
        try:
            raw = text.encode()
        except UnicodeEncodeError:  # a lone surrogate, which UTF-8 has not
            continue
        if "Infinity" not in text:
            assert document(raw)["value"] == value


@pytest.mark.parametrize(
    "raw", [b"NaN", b"1e400", b"[" * 100_000, b"9" * 5000, b'"\\ud800"', b"", b"{", b"plain \x1b[31m text"]
)
def test_text_that_is_no_json_is_a_string(raw: bytes) -> None:
    assert document(raw)["value"] == raw.decode()


def test_numbers_stand_as_they_were_written() -> None:
    assert '"value":{"value": 21.50}' in record_line(record(b'{"value":\n21.50}\r\n')).decode()


def test_bytes_that_are_no_utf_8_are_marked_base64() -> None:
    raw = b"\xff\x00"
    mark = {"base64": base64.b64encode(raw).decode()}
    found = document(raw, key=raw, headers=(("h", raw),))
    assert found["value"] == found["key"] == found["headers"]["h"] == mark


def test_a_tombstone_is_null_and_repeated_headers_are_a_list() -> None:
    found = document(None, key=None, timestamp=None, headers=(("a", b"1"), ("b", None), ("a", b"2")))
    assert found["value"] is found["key"] is found["timestamp"] is None
    assert found["headers"] == {"a": ["1", "2"], "b": None}


def test_a_message_tells_its_payload_and_flags() -> None:
    found = check_as(
        "bdemo.tail.mqtt/1",
        json.loads(message_line(MqttMessage("sensors/3/temperature", b'{"value": 1}', 12.5, 1, True))),
    )
    assert found == {
        "topic": "sensors/3/temperature",
        "timestamp": 12.5,
        "qos": 1,
        "retain": True,
        "payload": {"value": 1},
    }


def test_an_event_has_the_id_to_resume_after() -> None:
    found = check_as(
        "bdemo.tail.api/1", json.loads(event_line(ReceivedEvent("reading", "1:0", '{"sensor": 3, "value": 21.50}')))
    )
    assert found == {"event": "reading", "id": "1:0", "data": {"sensor": 3, "value": 21.5}}
