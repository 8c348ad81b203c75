"""What becomes of a message: a record, a dead letter, or nothing new; and what its client is told when Kafka has it."""

from __future__ import annotations

from typing import Any

import pytest

from backend_demo.domain.topics import PARTITIONS
from backend_demo.faust_batch.producer import partition_of
from backend_demo.mqtt.codec.packets import (
    Ack,
    Oversized,
    PacketType,
    Property,
    ProtocolError,
    Publish,
    ReasonCode,
    Will,
)
from backend_demo.mqtt.users_file import Rights
from tests.support.proxy_sides import Publishing

TOPIC = b"sensors/7/temperature"


def message(mid: int = 1, qos: int = 1, topic: bytes = TOPIC, payload: bytes = b"21", **fields: Any) -> Publish:
    return Publish(topic, payload, qos, mid if qos else 0, **fields)


def records(arrivals: Any) -> list[Any]:
    return [record for found in arrivals.records for record in found]


@pytest.mark.parametrize("level", [3, 4, 5])
def test_a_message_is_answered_when_kafka_has_it_and_not_before(level: int) -> None:
    side = Publishing(level)
    side.publish(message(1), message(2, qos=2), message(qos=0), message(3))
    assert side.said == []
    arrivals, said = side.kafka_has_it()
    assert arrivals.records[partition_of(TOPIC, PARTITIONS)] == [(TOPIC, b"21")] * 4
    assert said == [Ack(PacketType.PUBACK, 1), Ack(PacketType.PUBREC, 2), Ack(PacketType.PUBACK, 3)]
    assert side.intake.held == 0


@pytest.mark.parametrize(
    ("changed", "reason", "code"),
    [
        ({"topic": b"elsewhere"}, "topic", ReasonCode.TOPIC_NAME_INVALID),
        ({"topic": b"sensors/+"}, "topic", ReasonCode.TOPIC_NAME_INVALID),
        ({"topic": b"sensors/\xff"}, "topic", ReasonCode.TOPIC_NAME_INVALID),
        ({"topic": b"sensors/" + bytes(b"x" * 2000)}, "topic", ReasonCode.TOPIC_NAME_INVALID),
        ({"topic": b"sensors/8"}, "rights", ReasonCode.NOT_AUTHORIZED),
        ({"payload": bytes(16_385)}, "size", ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR),
        (
            {"properties": {Property.USER_PROPERTY: [("\x01" * 12_000, "")]}},
            *("size", ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR),
        ),
        (
            {"payload": b"\xff", "properties": {Property.PAYLOAD_FORMAT_INDICATOR: 1}},
            *("json", ReasonCode.PAYLOAD_FORMAT_INVALID),
        ),
    ],
)
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("level", [4, 5])
def test_refused_messages(level: int, qos: int, changed: dict[str, Any], reason: str, code: ReasonCode) -> None:
    rights = Rights(("#",) if reason != "rights" else ("sensors/7/#",), ())
    side = Publishing(level, rights=rights)
    side.publish(message(5, qos, **changed))
    arrivals, said = side.kafka_has_it()
    (letter,) = arrivals.letters
    assert (letter.reason, letter.raw) == (reason, changed.get("payload", b"21"))
    assert records(arrivals) == []
    assert [(ack.mid, ack.reason) for ack in said if isinstance(ack, Ack)] == (
        [(5, code if level == 5 else 0)] if qos else []
    )


def test_what_was_too_large_to_be_kept() -> None:
    side = Publishing(4)
    side.publisher.too_large(Oversized(TOPIC, b"head", 300_000, 1, 5))
    side.publisher.flush()
    arrivals, said = side.kafka_has_it()
    assert [(letter.reason, letter.raw) for letter in arrivals.letters] == [("size", b"head")]
    assert said == [Ack(PacketType.PUBACK, 5)]


def test_qos_2_that_comes_again_before_its_pubrel() -> None:
    side = Publishing(5)
    side.publish(message(5, qos=2), message(5, qos=2, dup=True))
    arrivals, said = side.kafka_has_it()
    assert len(records(arrivals)) == 1
    assert said == [Ack(PacketType.PUBREC, 5)] * 2
    side.publish(message(5, qos=2, dup=True))
    assert records(side.kafka_has_it()[0]) == []
    assert side.publisher.release(5)
    assert not side.publisher.release(5)
    side.publish(message(5, qos=2))
    assert len(records(side.kafka_has_it()[0])) == 1


def test_what_is_under_way() -> None:
    side = Publishing(5)
    under_way = []
    side.publish(message(1), message(2, qos=2), message(qos=0))
    under_way.append(side.publisher.under_way)
    side.kafka_has_it()
    under_way.append(side.publisher.under_way)
    side.publisher.release(2)
    assert [*under_way, side.publisher.under_way] == [2, 1, 0]


def test_packet_ids_that_are_never_released_are_forgotten() -> None:
    side = Publishing(4, in_flight=10)
    for mid in range(1, 1000):
        side.publish(message(mid, qos=2))
        side.kafka_has_it()
    assert side.publisher.under_way == 11


def test_everything_that_waits_counts_in_the_bound_of_memory() -> None:
    for packet in (
        message(payload=bytes(10_000)),
        message(topic=b"elsewhere/" + bytes(10_000)),
        message(properties={Property.CORRELATION_DATA: bytes(10_000)}),
    ):
        side = Publishing(5, held_bytes=10_000)
        side.publish(packet)
        assert side.intake.full
        side.kafka_has_it()
        assert not side.intake.full


def test_aliases() -> None:
    side = Publishing(5, topic_aliases=2)
    alias = {Property.TOPIC_ALIAS: 2}
    side.publish(message(properties=alias), message(topic=b"", properties=alias))
    assert records(side.kafka_has_it()[0]) == [(TOPIC, b"21")] * 2
    for number, code in ((1, ReasonCode.PROTOCOL_ERROR), (3, ReasonCode.TOPIC_ALIAS_INVALID)):
        with pytest.raises(ProtocolError) as raised:
            side.publish(message(topic=b"", properties={Property.TOPIC_ALIAS: number}))
        assert raised.value.reason == code


def test_rights_are_asked_again_when_they_have_changed() -> None:
    side = Publishing(5)
    side.publish(message(1))
    side.publisher._session.rights = Rights()
    side.publisher.forget_topics()
    side.publish(message(2))
    assert [ack.reason for ack in side.kafka_has_it()[1] if isinstance(ack, Ack)] == [0, ReasonCode.NOT_AUTHORIZED]


def test_a_will() -> None:
    side = Publishing(5)
    side.publisher.will(Will("sensors/7", b"off", 2, False, {Property.CONTENT_TYPE: "text/plain"}))
    arrivals, said = side.kafka_has_it()
    assert records(arrivals) == [(b"sensors/7", b"off", [("mqtt-content-type", b"text/plain")])]
    assert said == []
