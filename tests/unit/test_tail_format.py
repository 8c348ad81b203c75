"""Records and messages as lines: for programs, and for people at a terminal."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.cli.tail_format import PrettyMessages, PrettyRecords, message_json, readable, record_json
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.topics import PIPELINE
from backend_demo.operations.tail_merge import Record
from backend_demo.operations.tail_mqtt import Message


def record(value: bytes | None, key: bytes | None = b"3", **more: Any) -> Record:
    return Record(
        **{"topic": "src-data", "partition": 3, "offset": 17, "timestamp": 0.25, "headers": (), **more},
        key=key,
        value=value,
    )


def document(value: bytes | None, **more: Any) -> Any:
    return json.loads(record_json(record(value, **more)))


@given(st.binary(), st.none() | st.binary(), st.none() | st.binary())
def test_any_record_is_one_line_of_json_that_no_terminal_obeys(
    name: bytes, key: bytes | None, value: bytes | None
) -> None:
    line = record_json(record(value, key, headers=((name.decode(errors="replace"), value),)))
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
    assert '"value":{"value": 21.50}' in record_json(record(b'{"value":\n21.50}\r\n'))


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
    found = json.loads(message_json(Message("sensors/3/temperature", b'{"value": 1}', 12.5, 1, True)))
    assert found == {
        "topic": "sensors/3/temperature",
        "timestamp": 12.5,
        "qos": 1,
        "retain": True,
        "payload": {"value": 1},
    }


@given(st.binary())
def test_readable_is_one_line_that_no_terminal_obeys(raw: bytes) -> None:
    text = readable(raw)
    assert all(character.isprintable() or character == " " for character in text if ord(character) < 0x100)
    assert len(text.splitlines()) <= 1


def test_readable_shows_text_as_it_is_and_the_rest_escaped() -> None:
    assert readable("21 °C".encode()) == "21 °C"
    assert readable(b"\x1b[31m\xff\n\xc2\x9b") == r"\x1b[31m\xff\x0a\x9b"
    assert readable("\u202egpj".encode()) == r"\u202egpj"


def test_pretty_columns_are_aligned() -> None:
    pretty = PrettyRecords(PIPELINE, colour=False)
    first = pretty(record(b"{}", topic="aggregated-data", timestamp=time.time()))
    second = pretty(record(b"{}", timestamp=time.time()))
    assert first.index("{}") == second.index("{}")
    assert second.split()[1:] == ["src-data", "3:17", "3", "{}"]


def test_pretty_tells_what_is_not_there() -> None:
    pretty = PrettyRecords(PIPELINE, colour=False)
    assert pretty(record(None, None, timestamp=None)).split() == ["-", "src-data", "3:17", "-", "(null)"]
    assert pretty(record(b"")).endswith("(empty)")
    assert pretty(record(b"x" * 5000)).endswith("x... (5000 bytes)")


def test_pretty_dead_letters_tell_why_and_where_they_were_refused() -> None:
    refused = DeadLetter(
        "processing", "range", "250.0 is not in -100.0 to 200.0", b'{"a\xff":1}\x1b', b"3", "src-data", 3, 17
    )
    line = PrettyRecords(PIPELINE, colour=False)(
        record(refused.value(), topic="dead-letter", headers=tuple(refused.headers()))
    )
    assert line.endswith(r'range in processing, from src-data 3:17: 250.0 is not in -100.0 to 200.0  {"a\xff":1}\x1b')


def test_pretty_dead_letters_of_mqtt_have_no_offset_and_long_ones_tell_their_length() -> None:
    refused = DeadLetter(
        "bridge", "size", "too large", b"x" * 1_000_000, b"sensors/3/temperature", "sensors/3/temperature"
    )
    line = PrettyRecords(PIPELINE, colour=False)(
        record(refused.value(), topic="dead-letter", headers=tuple(refused.headers()))
    )
    assert "size in bridge, from sensors/3/temperature, cut from 1000000 bytes: too large" in line


def test_colour_tells_the_topics_apart_and_dead_letters_are_red() -> None:
    pretty = PrettyRecords(PIPELINE, colour=True)
    colours = [pretty(record(b"", topic=topic)).split(topic)[0][-5:] for topic in PIPELINE]
    assert len(set(colours)) == len(PIPELINE)
    assert colours[-1] == "\x1b[31m"


def test_pretty_messages_show_topic_and_payload() -> None:
    pretty = PrettyMessages(colour=False)
    assert pretty(Message("/sensor3/temp", b"\x07", time.time(), 0, False)).split()[1:] == ["/sensor3/temp", r"\x07"]
    assert pretty(Message("t", b"1", time.time(), 0, True)).endswith("1  (retained)")
