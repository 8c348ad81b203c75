"""The properties of MQTT 5, against paho, which has a table and a codec of its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import properties as paho
from paho.mqtt.packettypes import PacketTypes

from backend_demo.mqtt.codec.packets import PacketType, Property, ProtocolError, ReasonCode
from backend_demo.mqtt.codec.properties import ALLOWED, KINDS, TO_BROKER, WILL, read_properties, write_properties
from backend_demo.mqtt.codec.wire import VARINT_MAX, PacketReader
from tests.support.mqtt_packets import properties_of

PUBLISH = ALLOWED[PacketType.PUBLISH]


def paho_s_name(name: Property) -> str:
    return name.name.title().replace("_", "").replace("Qos", "QoS")


def read(written: bytes, allowed: frozenset[Property], packet: str) -> dict[Property, Any]:
    reader = PacketReader(written, 0, len(written))
    found = read_properties(reader, allowed, packet)
    reader.finish()
    return found


def problem(written: str, allowed: frozenset[Property] = PUBLISH, packet: str = "PUBLISH") -> ProtocolError:
    with pytest.raises(ProtocolError) as raised:
        read(bytes.fromhex(written), allowed, packet)
    return raised.value


def test_paho_has_the_same_table() -> None:
    known = paho.Properties(PacketTypes.CONNECT)
    packets = {kind: getattr(PacketTypes, kind.name) for kind in ALLOWED}
    types = {
        "flag": "Byte",
        "short": "Two Byte Integer",
        "long": "Four Byte Integer",
        "varint": "Variable Byte Integer",
    }
    types |= {"text": "UTF-8 Encoded String", "pair": "UTF-8 String Pair", "binary": "Binary Data"}
    assert set(known.properties) == set(Property)
    for name in Property:
        type_number, carriers = known.properties[name]
        assert known.types[type_number] == types[KINDS[name]], name
        assert {packets[kind] for kind, allowed in ALLOWED.items() if name in allowed} == {
            carrier for carrier in carriers if carrier != PacketTypes.WILLMESSAGE
        }, name
        assert (name in WILL) == (PacketTypes.WILLMESSAGE in carriers), name


@pytest.mark.parametrize("kind", [kind for kind in ALLOWED if kind is not PacketType.SUBSCRIBE])
@given(st.data())
def test_paho_reads_and_writes_the_same_bytes(kind: PacketType, data: st.DataObject) -> None:
    ours = data.draw(properties_of(ALLOWED[kind], kind.name))
    if Property.MAXIMUM_PACKET_SIZE in ours:  # paho refuses those that no packet can have
        ours[Property.MAXIMUM_PACKET_SIZE] = min(ours[Property.MAXIMUM_PACKET_SIZE], VARINT_MAX)
    theirs = paho.Properties(getattr(PacketTypes, kind.name))
    for name, value in ours.items():
        for each in value if isinstance(value, list) else (value,):
            setattr(theirs, paho_s_name(name), each)
    assert read(theirs.pack(), ALLOWED[kind], kind.name) == ours
    read_back, _ = paho.Properties(getattr(PacketTypes, kind.name)).unpack(write_properties(ours))
    assert read_back.json() == theirs.json()


@given(st.sampled_from([*ALLOWED]), st.sampled_from([*Property]), st.data())
def test_a_property_in_the_wrong_packet_is_an_error(kind: PacketType, name: Property, data: st.DataObject) -> None:
    written = write_properties(data.draw(properties_of(frozenset({name}), kind.name).filter(bool)))
    if name not in ALLOWED[kind]:
        assert problem(written.hex(), ALLOWED[kind], kind.name).reason is ReasonCode.PROTOCOL_ERROR


@given(st.sampled_from([*Property]), st.data())
def test_a_property_that_comes_twice_is_an_error(name: Property, data: st.DataObject) -> None:
    allowed = frozenset({name})
    body = write_properties(data.draw(properties_of(allowed, "CONNACK").filter(bool)))[1:]
    if name is not Property.USER_PROPERTY:
        twice = bytes((2 * len(body),)) + body + body
        assert problem(twice.hex(), allowed, "CONNACK").reason is ReasonCode.PROTOCOL_ERROR


def test_a_message_may_carry_several_subscription_identifiers_but_a_subscribe_one() -> None:
    written = bytes.fromhex("05 0b01 0b8001")
    assert read(written, PUBLISH, "PUBLISH") == {Property.SUBSCRIPTION_IDENTIFIER: [1, 128]}
    problem(written.hex(), ALLOWED[PacketType.SUBSCRIBE], "SUBSCRIBE")


def test_a_client_cannot_publish_with_a_subscription_identifier() -> None:
    problem("02 0b01", TO_BROKER)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", ReasonCode.MALFORMED_PACKET),
        ("01", ReasonCode.MALFORMED_PACKET),  # shorter than its length
        ("03 0101", ReasonCode.MALFORMED_PACKET),
        ("01 01", ReasonCode.MALFORMED_PACKET),  # an identifier without a value
        ("02 0200", ReasonCode.MALFORMED_PACKET),
        ("02 7f00", ReasonCode.MALFORMED_PACKET),  # unknown
        ("03 030001", ReasonCode.MALFORMED_PACKET),  # a text longer than the properties
        ("8000", ReasonCode.MALFORMED_PACKET),  # a length of more bytes than it needs
        ("ffffffff7f", ReasonCode.MALFORMED_PACKET),
        ("02 0102", ReasonCode.PROTOCOL_ERROR),
        ("03 080000", ReasonCode.PROTOCOL_ERROR),  # response topics: empty, with wildcards
        ("04 0800012b", ReasonCode.PROTOCOL_ERROR),
        ("04 08000123", ReasonCode.PROTOCOL_ERROR),
        ("02 0b00", ReasonCode.PROTOCOL_ERROR),
        ("03 230000", ReasonCode.TOPIC_ALIAS_INVALID),
        ("04 030001ff", ReasonCode.MALFORMED_PACKET),
        ("06 26000100 0100", ReasonCode.MALFORMED_PACKET),  # U+0000
    ],
)
def test_invalid_properties_have_their_code(written: str, reason: ReasonCode) -> None:
    assert problem(written).reason is reason


@pytest.mark.parametrize("written", ["03 210000", "05 2700000000", "02 1702"])
def test_limits_of_a_connect_cannot_be_zero(written: str) -> None:
    assert problem(written, ALLOWED[PacketType.CONNECT], "CONNECT").reason is ReasonCode.PROTOCOL_ERROR


def test_a_value_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="70000 does not fit"):
        write_properties({Property.TOPIC_ALIAS: 70_000})
