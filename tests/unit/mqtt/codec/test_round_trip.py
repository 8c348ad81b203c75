"""What the encoder writes, the decoder reads: every packet, every level, in pieces of any size."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.mqtt.codec.decoder import Decoder
from backend_demo.mqtt.codec.encoder import encode, puback, publish
from backend_demo.mqtt.codec.packets import Ack, Oversized, Packet, PacketType, Publish
from tests.support.mqtt_packets import connects, packets

LEVELS = pytest.mark.parametrize("level", [3, 4, 5])


def fed_in_pieces(decoder: Decoder, data: bytes, cuts: list[int]) -> list[Packet]:
    """What the decoder yields when the data comes cut at these places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [packet for start, stop in pairwise(places) for packet in decoder.feed(data[start:stop])]


cut_places = st.lists(st.integers(0, 5000), max_size=8)


@LEVELS
@given(st.data())
def test_a_broker_decodes_what_a_client_sends(level: int, data: st.DataObject) -> None:
    sent = [data.draw(connects(level)), *data.draw(st.lists(packets(level, to_broker=True), max_size=4))]
    decoder = Decoder(packet_bytes=100_000)
    written = b"".join(encode(packet, level) for packet in sent)
    assert fed_in_pieces(decoder, written, data.draw(cut_places)) == sent
    assert (decoder.level, decoder.partial) == (level, False)


@LEVELS
@given(st.data())
def test_a_client_decodes_what_a_broker_sends(level: int, data: st.DataObject) -> None:
    sent = data.draw(st.lists(packets(level, to_broker=False), max_size=4))
    decoder = Decoder(packet_bytes=100_000, level=level)
    written = b"".join(encode(packet, level) for packet in sent)
    assert fed_in_pieces(decoder, written, data.draw(cut_places)) == sent


@LEVELS
@given(st.data())
def test_a_packet_without_its_last_byte_waits(level: int, data: st.DataObject) -> None:
    packet = data.draw(packets(level, to_broker=False))
    written = encode(packet, level)
    decoder = Decoder(packet_bytes=100_000, level=level)
    assert list(decoder.feed(written[:-1])) == []
    assert decoder.partial
    assert list(decoder.feed(written[-1:])) == [packet]
    assert not decoder.partial


@given(st.integers(1, 65_535))
def test_a_puback_is_the_same_at_all_levels(mid: int) -> None:
    assert {encode(Ack(PacketType.PUBACK, mid), level) for level in (3, 4, 5)} == {puback(mid)}


def test_what_a_level_does_not_have_is_left_out() -> None:
    assert encode(Ack(PacketType.PUBREC, 1, reason=0x87), 4) == bytes.fromhex("5002 0001")


def test_values_that_mqtt_cannot_carry_are_errors() -> None:
    with pytest.raises(ValueError, match="65536 bytes"):
        publish(b"x" * 65_536, b"", qos=0, mid=0, level=4)
    with pytest.raises(ValueError, match="more than MQTT can count"):
        publish(b"x", bytes(268_435_456), qos=0, mid=0, level=4)
    with pytest.raises(TypeError, match="Oversized"):
        encode(Oversized(b"", b"", 1, 0, 0), 4)


def test_a_large_packet_that_comes_byte_by_byte_takes_no_quadratic_time() -> None:
    """A copy of all that came before at each byte would move 32 GB here, and take longer than a test may."""
    payload = bytes(range(256)) * 1024
    written = publish(b"a", payload, qos=1, mid=1, level=4)
    decoder = Decoder(packet_bytes=300_000, level=4)
    found = [packet for place in range(len(written)) for packet in decoder.feed(written[place : place + 1])]
    assert found == [Publish(b"a", payload, 1, 1)]
