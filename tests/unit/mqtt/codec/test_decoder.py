"""The bounds of the decoder: arbitrary bytes, large packets, packets at the wrong time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.mqtt.codec.decoder import CONNECT_BYTES, Decoder
from backend_demo.mqtt.codec.encoder import encode, publish
from backend_demo.mqtt.codec.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Oversized,
    Packet,
    Pingreq,
    Pingresp,
    ProtocolError,
    Publish,
    ReasonCode,
    Suback,
    Subscribe,
    Subscription,
    Will,
)
from tests.support.mqtt_packets import packets


def outcome(decoder: Decoder, data: bytes) -> tuple[list[Packet], ProtocolError | None]:
    """The packets in this data, and the error that ends them."""
    found: list[Packet] = []
    try:
        for packet in decoder.feed(data):
            found.append(packet)  # noqa: PERF402  those before an error count
    except ProtocolError as problem:
        return found, problem
    return found, None


def failure(decoder: Decoder, data: bytes) -> tuple[list[Packet], ProtocolError]:
    """The packets before the error that this data must cause, and the error."""
    found, problem = outcome(decoder, data)
    assert problem is not None, f"no error after {found}"
    return found, problem


def kept(decoder: Decoder) -> int:
    """Bytes that the decoder holds."""
    return len(decoder._pending) + (len(decoder._skipped._kept) if decoder._skipped else 0)


@st.composite
def damaged(draw: st.DrawFn, level: int) -> bytes:
    """A valid stream with some bytes changed: it comes further than arbitrary bytes do."""
    sent = draw(st.lists(packets(level, to_broker=True), min_size=1, max_size=4))
    stream = bytearray(b"".join(encode(packet, level) for packet in sent))
    for _ in range(draw(st.integers(0, 3))):
        stream[draw(st.integers(0, len(stream) - 1))] = draw(st.integers(0, 255))
    return bytes(stream)


@pytest.mark.parametrize("level", [0, 3, 4, 5])
@given(st.data())
def test_arbitrary_bytes_raise_nothing_but_protocol_errors_and_fill_no_memory(level: int, data: st.DataObject) -> None:
    decoder = Decoder(packet_bytes=200, head_bytes=10, level=level)
    streams = st.one_of(st.binary(max_size=300), damaged(level or 4))
    for chunk in data.draw(st.lists(streams, max_size=4)):
        _, problem = outcome(decoder, chunk)
        if problem is not None:
            assert problem.level in ((max(4, decoder.level),) if decoder.level else (4, 5))
            assert problem.reason >= 0x80
            break
        assert kept(decoder) <= (CONNECT_BYTES if not decoder.level else max(200, 65_539 + 10))


@pytest.mark.parametrize("level", [3, 4])
@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("step", [1, 7, 1000, 10_000])
def test_an_oversized_message_is_skipped_and_the_next_one_is_decoded(level: int, qos: int, step: int) -> None:
    large = publish(b"a/b", b"0123456789" * 500, qos=qos, mid=qos * 7, level=level)
    good = Publish(b"c", b"good")
    stream = encode(good, level) + large + encode(good, level) + large
    decoder = Decoder(packet_bytes=1000, head_bytes=15, level=level)
    found: list[Packet] = []
    for place in range(0, len(stream), step):
        found += decoder.feed(stream[place : place + step])
        assert kept(decoder) <= 1000
    oversized = Oversized(b"a/b", b"012345678901234", 5000, qos, qos * 7)
    assert found == [good, oversized, good, oversized]
    assert not decoder.partial


def test_a_message_being_skipped_is_a_partial_packet() -> None:
    decoder = Decoder(packet_bytes=10, level=4)
    assert list(decoder.feed(b"\x30\xff\x01\0\1a")) == []
    assert decoder.partial


@pytest.mark.parametrize("body", ["0000 0000", "00ff 61"], ids=["packet id 0", "a topic longer than the packet"])
def test_an_oversized_message_must_be_valid(body: str) -> None:
    stream = b"\x32\x64" + bytes.fromhex(body).ljust(100, b"x")
    _, problem = failure(Decoder(packet_bytes=50, level=4), stream)
    assert problem.reason is ReasonCode.MALFORMED_PACKET


def test_an_oversized_message_is_an_error_in_mqtt_5_before_its_bytes_have_come() -> None:
    good = publish(b"a", b"x", qos=1, mid=1, level=5)
    large = publish(b"a", bytes(2000), qos=1, mid=2, level=5)
    found, problem = failure(Decoder(packet_bytes=1000, level=5), good + large[:10])
    assert len(found) == 1
    assert (problem.reason, problem.level) == (ReasonCode.PACKET_TOO_LARGE, 5)


@pytest.mark.parametrize("level", [3, 4, 5])
def test_any_other_packet_above_the_limit_is_an_error(level: int) -> None:
    decoder = Decoder(packet_bytes=1000)
    list(decoder.feed(encode(Connect(level, "me"), level)))
    large = encode(Subscribe(1, [Subscription("x" * 1000)]), level)
    assert failure(decoder, large)[1].reason is ReasonCode.PACKET_TOO_LARGE


@pytest.mark.parametrize("level", [4, 5])
def test_a_packet_of_exactly_the_limit_is_decoded(level: int) -> None:
    written = publish(b"a", bytes(1000), qos=1, mid=1, level=level)
    assert len(list(Decoder(packet_bytes=len(written), level=level).feed(written))) == 1


def test_a_connect_has_a_limit_of_its_own() -> None:
    will = Will("t", bytes(60_000))
    decoder = Decoder(packet_bytes=1000)
    assert [type(packet) for packet in decoder.feed(encode(Connect(4, "me", will=will), 4))] == [Connect]
    problem = failure(Decoder(packet_bytes=2**20), encode(Connect(4, "x" * 65_530), 4)[:5])[1]
    assert problem.reason is ReasonCode.PACKET_TOO_LARGE


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", encode(Pingreq(), 4), b"\x30\x7f"])
def test_nothing_comes_before_connect(data: bytes) -> None:
    assert failure(Decoder(packet_bytes=1000), data)[1].level == 4


@pytest.mark.parametrize(
    "packet", [Connect(4, "me"), Connack(False, 0), Suback(1, [0]), Pingresp(), Connect(5, "me")], ids=lambda p: type(p)
)
def test_a_broker_refuses_what_only_brokers_send_and_a_second_connect(packet: Packet) -> None:
    stream = encode(Connect(4, "me"), 4) + encode(packet, 4)
    found, problem = failure(Decoder(packet_bytes=1000), stream)
    assert found == [Connect(4, "me")]
    assert problem.reason is ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("packet", [Connect(4, "me"), Pingreq(), Subscribe(1, [Subscription("a")])])
def test_a_client_refuses_what_only_clients_send(packet: Packet) -> None:
    problem = failure(Decoder(packet_bytes=1000, level=4), encode(packet, 4))[1]
    assert problem.reason is ReasonCode.PROTOCOL_ERROR


def test_auth_exists_in_mqtt_5_only() -> None:
    assert list(Decoder(packet_bytes=100, level=5).feed(encode(Auth(), 5))) == [Auth()]
    assert failure(Decoder(packet_bytes=100, level=4), encode(Auth(), 5))[1].reason is ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("name", "number", "answered"),
    [
        (b"MQTT", 3, 4),
        (b"MQTT", 6, 5),
        (b"MQIsdp", 4, 4),
        (b"mqtt", 4, 4),
        (b"AMQP", 5, 5),
        (b"MQTT", 0x84, 4),  # a bridge of mosquitto
        (b"\xff", 0, 4),
    ],
)
def test_an_unknown_protocol_is_told_from_a_malformed_connect(name: bytes, number: int, answered: int) -> None:
    body = len(name).to_bytes(2, "big") + name + bytes((number, 2, 0, 0, 0, 0))
    problem = failure(Decoder(packet_bytes=1000), bytes((0x10, len(body))) + body)[1]
    assert (problem.reason, problem.level) == (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, answered)


def test_the_answer_to_a_malformed_connect_has_the_form_of_its_level() -> None:
    body = bytes.fromhex("0004 4d515454 05 03 0000 00 0000")
    problem = failure(Decoder(packet_bytes=1000), bytes((0x10, len(body))) + body)[1]
    assert (problem.reason, problem.level) == (ReasonCode.MALFORMED_PACKET, 5)


def test_the_packets_before_an_error_are_yielded() -> None:
    found, _ = failure(Decoder(packet_bytes=1000, level=4), encode(Disconnect(), 4) * 2 + b"\0\0")
    assert found == [Disconnect()] * 2
