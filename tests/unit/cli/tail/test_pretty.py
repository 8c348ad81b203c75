"""Records and messages as lines for people at a terminal."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from backend_demo.cli.tail.pretty import PrettyEvents, PrettyMessages, PrettyRecords
from backend_demo.domain.dead_letter import DeadLetter
from backend_demo.domain.topics import PIPELINE
from backend_demo.operations.kafka_record import KafkaRecord
from backend_demo.operations.tail.api import ReceivedEvent
from backend_demo.operations.tail.mqtt import MqttMessage


def record(value: bytes | None, key: bytes | None = b"3", **more: Any) -> KafkaRecord:
    return KafkaRecord(
        **{"topic": "src-data", "partition": 3, "offset": 17, "timestamp": 0.25, "headers": (), **more},
        key=key,
        value=value,
    )


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


EVIL = "\x1b[2J\x9b\n\u202e"


@pytest.mark.parametrize("name", ["reading", "dead-letter", EVIL])
def test_nothing_that_a_strange_gateway_sends_steers_the_terminal(name: str) -> None:
    data = dict.fromkeys(("sensor", "topic", "partition", "offset", "reason", "stage", "detail", "payload"), EVIL)
    times = {"timestamp": 1.5, "time": 1.5, "value": 20, "encoding": "utf8", "truncated": True, "size": EVIL}
    line = PrettyEvents(colour=False)(ReceivedEvent(name, EVIL, json.dumps({**data, **times})))
    assert line.isprintable()


def test_pretty_messages_show_topic_and_payload() -> None:
    pretty = PrettyMessages(colour=False)
    assert pretty(MqttMessage("/sensor3/temp", b"\x07", time.time(), 0, False)).split()[1:] == [
        "/sensor3/temp",
        r"\x07",
    ]
    assert pretty(MqttMessage("t", b"1", time.time(), 0, True)).endswith("1  (retained)")
