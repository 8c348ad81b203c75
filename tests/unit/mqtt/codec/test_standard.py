"""Bytes from the text of the standards, and what they call malformed or a protocol error."""

from __future__ import annotations

import pytest

from backend_demo.mqtt.codec.decoder import Decoder
from backend_demo.mqtt.codec.encoder import encode
from backend_demo.mqtt.codec.packets import (
    Ack,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Pingreq,
    Pingresp,
    Property,
    ProtocolError,
    Publish,
    ReasonCode,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from backend_demo.mqtt.codec.wire import PacketReader, text, varint

MALFORMED = ReasonCode.MALFORMED_PACKET
PROTOCOL = ReasonCode.PROTOCOL_ERROR

CREDENTIALS = "0004 77696c6c 0003 627965 0002 6d65 0003 736563"  # will topic and payload, user name, password

KNOWN: list[tuple[int, str, Packet]] = [
    (
        3,
        "10 25 0006 4d5149736470 03 ce 000a 0003 616263" + CREDENTIALS,
        Connect(3, "abc", True, 10, "me", b"sec", Will("will", b"bye", 1)),
    ),
    (
        4,
        "10 23 0004 4d515454 04 ce 000a 0003 616263" + CREDENTIALS,
        Connect(4, "abc", True, 10, "me", b"sec", Will("will", b"bye", 1)),
    ),
    (
        5,
        "10 2a 0004 4d515454 05 ce 000a 05 110000000a 0003 616263 00" + CREDENTIALS,
        Connect(5, "abc", True, 10, "me", b"sec", Will("will", b"bye", 1), {Property.SESSION_EXPIRY_INTERVAL: 10}),
    ),
    (4, "20 02 01 00", Connack(True, 0)),
    (5, "20 06 00 00 03 210014", Connack(False, 0, {Property.RECEIVE_MAXIMUM: 20})),
    (4, "30 05 0003 612f62", Publish(b"a/b", b"")),
    (4, "3d 09 0003 612f62 000a 6869", Publish(b"a/b", b"hi", 2, 10, True, True)),
    (5, "32 08 0003 612f62 000a 00", Publish(b"a/b", b"", 1, 10)),
    (5, "30 07 0000 03 230001 78", Publish(b"", b"x", properties={Property.TOPIC_ALIAS: 1})),
    (4, "40 02 000a", Ack(PacketType.PUBACK, 10)),
    (5, "50 03 000a 10", Ack(PacketType.PUBREC, 10, ReasonCode.NO_MATCHING_SUBSCRIBERS)),
    (5, "62 08 000a 92 04 1f0001 78", Ack(PacketType.PUBREL, 10, 0x92, {Property.REASON_STRING: "x"})),
    (4, "70 02 000a", Ack(PacketType.PUBCOMP, 10)),
    (
        4,
        "82 0e 000a 0003 612f62 01 0003 632f64 02",
        Subscribe(10, [Subscription("a/b", 1), Subscription("c/d", 2)]),
    ),
    (5, "82 09 000a 00 0003 612f62 2d", Subscribe(10, [Subscription("a/b", 1, True, True, 2)])),
    (4, "90 05 000a 00 02 80", Suback(10, [0, 2, 0x80])),
    (4, "a2 0c 000a 0003 612f62 0003 632f64", Unsubscribe(10, ["a/b", "c/d"])),
    (4, "b0 02 000a", Unsuback(10)),
    (5, "b0 05 000a 00 00 11", Unsuback(10, [0, 0x11])),
    (4, "c0 00", Pingreq()),
    (4, "d0 00", Pingresp()),
    (4, "e0 00", Disconnect()),
    (5, "e0 01 04", Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE)),
    (5, "f0 06 18 04 150001 78", Auth(0x18, {Property.AUTHENTICATION_METHOD: "x"})),
]


def decoder_for(packet: Packet | None, level: int) -> Decoder:
    """A client's decoder for what brokers send; for the rest a broker's, whose client is connected at this level."""
    if isinstance(packet, Connack | Suback | Unsuback | Pingresp):
        return Decoder(packet_bytes=1000, level=level)
    decoder = Decoder(packet_bytes=1000)
    if not isinstance(packet, Connect):
        list(decoder.feed(encode(Connect(level, "me"), level)))
    return decoder


@pytest.mark.parametrize(("level", "written", "packet"), KNOWN)
def test_known_bytes(level: int, written: str, packet: Packet) -> None:
    raw = bytes.fromhex(written)
    assert list(decoder_for(packet, level).feed(raw)) == [packet]
    assert encode(packet, level) == raw


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
        (2_097_152, "80808001"),
        (268_435_455, "ffffff7f"),
    ],
)
def test_variable_byte_integers(value: int, written: str) -> None:
    raw = bytes.fromhex(written)
    assert varint(value) == raw
    assert PacketReader(raw, 0, len(raw)).varint() == value


@pytest.mark.parametrize(("value", "written"), [("A\U0002a6d4", "0005 41f0aa9b94"), ("\ufeffa", "0004 efbbbf61")])
def test_texts(value: str, written: str) -> None:
    """The second has a byte order mark, which must not be taken for one."""
    raw = bytes.fromhex(written)
    assert text(value) == raw
    assert PacketReader(raw, 0, len(raw)).text() == value


@pytest.mark.parametrize("level", [3, 4])
def test_a_remaining_length_with_a_needless_byte_is_an_error_in_mqtt_5_only(level: int) -> None:
    assert list(decoder_for(None, level).feed(bytes.fromhex("c0 8000"))) == [Pingreq()]
    with pytest.raises(ProtocolError):
        list(decoder_for(None, 5).feed(bytes.fromhex("c0 8000")))


INVALID: list[tuple[int, str, ReasonCode]] = [
    # the fixed header
    (4, "00 00", MALFORMED),
    (4, "c1 00", MALFORMED),
    (4, "80 06 0001 0001 61 00", MALFORMED),  # SUBSCRIBE, UNSUBSCRIBE and PUBREL without their flags
    (4, "a0 05 0001 0001 61", MALFORMED),
    (4, "60 02 0001", MALFORMED),
    (4, "c0 ffffffff01", MALFORMED),
    (4, "c0 01 00", MALFORMED),  # longer than its content
    (4, "40 03 0001 00", MALFORMED),
    (4, "e0 01 00", MALFORMED),
    # PUBLISH
    (4, "36 05 0001 61 0001", MALFORMED),  # QoS 3
    (4, "38 03 0001 61", MALFORMED),  # dup at QoS 0
    (4, "32 05 0001 61 0000", MALFORMED),  # packet identifier 0
    (4, "32 03 0001 61", MALFORMED),  # none
    (4, "30 02 0001", MALFORMED),
    (4, "30 00", MALFORMED),
    (4, "30 01 00", MALFORMED),
    (5, "30 03 0001 61", MALFORMED),  # no properties
    (5, "30 04 0001 61 01", MALFORMED),
    (5, "30 06 0001 61 02 1101", PROTOCOL),
    # acknowledgements
    (4, "40 02 0000", MALFORMED),
    (4, "40 01 00", MALFORMED),
    (5, "40 03 0001 92", PROTOCOL),  # a code of another packet
    (5, "40 05 0001 00 01 00", MALFORMED),
    # SUBSCRIBE and UNSUBSCRIBE
    (4, "82 02 0001", PROTOCOL),
    (5, "82 03 0001 00", PROTOCOL),
    (4, "82 06 0000 0001 61 00", MALFORMED),
    (4, "82 06 0001 0001 61 03", MALFORMED),
    (4, "82 06 0001 0001 61 04", MALFORMED),  # an option of MQTT 5
    (5, "82 07 0001 00 0001 61 40", MALFORMED),
    (5, "82 07 0001 00 0001 61 30", PROTOCOL),  # retain handling 3
    (5, "82 0f 0001 00 0009 2473686172652f672f 04", PROTOCOL),  # no local on a shared subscription
    (4, "82 05 0001 0001 61", MALFORMED),  # a filter without options
    (4, "82 06 0001 0001 ff 00", MALFORMED),
    (4, "a2 02 0001", PROTOCOL),
    (4, "a2 05 0001 0001 00", MALFORMED),
    # the rest
    (5, "e0 01 01", PROTOCOL),
    (5, "f0 02 18 00", PROTOCOL),  # no authentication method
]


@pytest.mark.parametrize(("level", "written", "reason"), INVALID)
def test_invalid_packets_have_their_code(level: int, written: str, reason: ReasonCode) -> None:
    with pytest.raises(ProtocolError) as raised:
        list(decoder_for(None, level).feed(bytes.fromhex(written)))
    assert (raised.value.reason, raised.value.level) == (reason, level)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("04 03 0000 0000", MALFORMED),  # the reserved flag
        ("04 1e 0000 0000 0001 61 0000", MALFORMED),  # a will of QoS 3
        ("04 08 0000 0000", MALFORMED),  # flags of a will without one
        ("04 20 0000 0000", MALFORMED),
        ("04 40 0000 0000 0000", MALFORMED),  # a password without a user name
        ("04 02 0000 0001 00", MALFORMED),
        ("04 02 0000 0002 c328", MALFORMED),
        ("04 02 0000 0003 eda080", MALFORMED),  # a surrogate
        ("04 02 0000 0000 00", MALFORMED),  # longer than its content
        ("04 82 0000 0000", MALFORMED),  # shorter
        ("04 02 00", MALFORMED),
        ("05 02 0000 02 2301 0000", PROTOCOL),
        ("05 02 0000 04 160001 78 0000", PROTOCOL),  # authentication data without a method
        ("05 06 0000 00 0000 03 210001 0000 0000", PROTOCOL),  # a will cannot have a receive maximum
    ],
)
def test_an_invalid_connect_has_its_code(body: str, reason: ReasonCode) -> None:
    raw = bytes.fromhex("0004 4d515454" + body)
    with pytest.raises(ProtocolError) as raised:
        list(Decoder(packet_bytes=1000).feed(bytes((0x10, len(raw))) + raw))
    assert (raised.value.reason, raised.value.level) == (reason, raw[6])


def test_mqtt_5_allows_a_password_without_a_user_name() -> None:
    packet = Connect(5, "me", password=b"token")
    assert list(Decoder(packet_bytes=1000).feed(encode(packet, 5))) == [packet]


@pytest.mark.parametrize(
    ("written", "packet"),
    [
        ("8a 06 0001 0001 61 00", Subscribe(1, [Subscription("a")])),  # sent again, which 3.1 marks
        ("aa 05 0001 0001 61", Unsubscribe(1, ["a"])),
        ("6a 02 0001", Ack(PacketType.PUBREL, 1)),
    ],
)
def test_mqtt_3_1_may_mark_more_packets_as_sent_again(written: str, packet: Packet) -> None:
    assert list(decoder_for(packet, 3).feed(bytes.fromhex(written))) == [packet]


def test_mqtt_3_1_may_leave_out_what_the_flags_announce() -> None:
    raw = bytes.fromhex("10 10 0006 4d5149736470 03 c2 0000 0002 6d65")
    assert list(Decoder(packet_bytes=1000).feed(raw)) == [Connect(3, "me")]
