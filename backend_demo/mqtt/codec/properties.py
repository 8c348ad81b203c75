"""The properties of MQTT 5: their types, the packets that may carry them, and both as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from backend_demo.mqtt.codec.packets import PacketType, Properties, Property, ProtocolError, ReasonCode
from backend_demo.mqtt.codec.wire import PacketReader, binary, text, varint

_Kind = Literal["flag", "short", "long", "varint", "text", "binary", "pair"]

#: `flag` is a byte of 0 or 1.
KINDS: dict[Property, _Kind] = {
    Property.PAYLOAD_FORMAT_INDICATOR: "flag",
    Property.MESSAGE_EXPIRY_INTERVAL: "long",
    Property.CONTENT_TYPE: "text",
    Property.RESPONSE_TOPIC: "text",
    Property.CORRELATION_DATA: "binary",
    Property.SUBSCRIPTION_IDENTIFIER: "varint",
    Property.SESSION_EXPIRY_INTERVAL: "long",
    Property.ASSIGNED_CLIENT_IDENTIFIER: "text",
    Property.SERVER_KEEP_ALIVE: "short",
    Property.AUTHENTICATION_METHOD: "text",
    Property.AUTHENTICATION_DATA: "binary",
    Property.REQUEST_PROBLEM_INFORMATION: "flag",
    Property.WILL_DELAY_INTERVAL: "long",
    Property.REQUEST_RESPONSE_INFORMATION: "flag",
    Property.RESPONSE_INFORMATION: "text",
    Property.SERVER_REFERENCE: "text",
    Property.REASON_STRING: "text",
    Property.RECEIVE_MAXIMUM: "short",
    Property.TOPIC_ALIAS_MAXIMUM: "short",
    Property.TOPIC_ALIAS: "short",
    Property.MAXIMUM_QOS: "flag",
    Property.RETAIN_AVAILABLE: "flag",
    Property.USER_PROPERTY: "pair",
    Property.MAXIMUM_PACKET_SIZE: "long",
    Property.WILDCARD_SUBSCRIPTION_AVAILABLE: "flag",
    Property.SUBSCRIPTION_IDENTIFIER_AVAILABLE: "flag",
    Property.SHARED_SUBSCRIPTION_AVAILABLE: "flag",
}

_WIDTHS = {"flag": 1, "short": 2, "long": 4}

_MESSAGE = frozenset(
    {
        Property.PAYLOAD_FORMAT_INDICATOR,
        Property.MESSAGE_EXPIRY_INTERVAL,
        Property.CONTENT_TYPE,
        Property.RESPONSE_TOPIC,
        Property.CORRELATION_DATA,
        Property.USER_PROPERTY,
    }
)
_ANSWER = frozenset({Property.REASON_STRING, Property.USER_PROPERTY})
_AUTHENTICATION = frozenset({Property.AUTHENTICATION_METHOD, Property.AUTHENTICATION_DATA})

WILL = _MESSAGE | {Property.WILL_DELAY_INTERVAL}
"""What a will may carry."""
TO_BROKER = _MESSAGE | {Property.TOPIC_ALIAS}
"""What a PUBLISH of a client may carry."""

ALLOWED: dict[PacketType, frozenset[Property]] = {
    PacketType.CONNECT: _AUTHENTICATION
    | {
        Property.SESSION_EXPIRY_INTERVAL,
        Property.REQUEST_PROBLEM_INFORMATION,
        Property.REQUEST_RESPONSE_INFORMATION,
        Property.RECEIVE_MAXIMUM,
        Property.TOPIC_ALIAS_MAXIMUM,
        Property.USER_PROPERTY,
        Property.MAXIMUM_PACKET_SIZE,
    },
    PacketType.CONNACK: _ANSWER
    | _AUTHENTICATION
    | {
        Property.SESSION_EXPIRY_INTERVAL,
        Property.ASSIGNED_CLIENT_IDENTIFIER,
        Property.SERVER_KEEP_ALIVE,
        Property.RESPONSE_INFORMATION,
        Property.SERVER_REFERENCE,
        Property.RECEIVE_MAXIMUM,
        Property.TOPIC_ALIAS_MAXIMUM,
        Property.MAXIMUM_QOS,
        Property.RETAIN_AVAILABLE,
        Property.MAXIMUM_PACKET_SIZE,
        Property.WILDCARD_SUBSCRIPTION_AVAILABLE,
        Property.SUBSCRIPTION_IDENTIFIER_AVAILABLE,
        Property.SHARED_SUBSCRIPTION_AVAILABLE,
    },
    PacketType.PUBLISH: TO_BROKER | {Property.SUBSCRIPTION_IDENTIFIER},
    PacketType.PUBACK: _ANSWER,
    PacketType.PUBREC: _ANSWER,
    PacketType.PUBREL: _ANSWER,
    PacketType.PUBCOMP: _ANSWER,
    PacketType.SUBSCRIBE: frozenset({Property.SUBSCRIPTION_IDENTIFIER, Property.USER_PROPERTY}),
    PacketType.SUBACK: _ANSWER,
    PacketType.UNSUBSCRIBE: frozenset({Property.USER_PROPERTY}),
    PacketType.UNSUBACK: _ANSWER,
    PacketType.DISCONNECT: _ANSWER | {Property.SESSION_EXPIRY_INTERVAL, Property.SERVER_REFERENCE},
    PacketType.AUTH: _ANSWER | _AUTHENTICATION,
}

#: Properties for which 0 is not allowed, and the code for it.
_POSITIVE = {
    Property.RECEIVE_MAXIMUM: ReasonCode.PROTOCOL_ERROR,
    Property.MAXIMUM_PACKET_SIZE: ReasonCode.PROTOCOL_ERROR,
    Property.SUBSCRIPTION_IDENTIFIER: ReasonCode.PROTOCOL_ERROR,
    Property.TOPIC_ALIAS: ReasonCode.TOPIC_ALIAS_INVALID,
}


def read_properties(reader: PacketReader, allowed: frozenset[Property], packet: str) -> Properties:
    """Takes the properties with their length in front. Raises ProtocolError for those that the packet may not have."""
    part = reader.part(reader.varint())
    found: Properties = {}
    while part.left:
        number = part.varint()
        try:
            name = Property(number)
        except ValueError:
            raise ProtocolError(f"unknown property {number}") from None
        if name not in allowed:
            raise ProtocolError(f"{packet} cannot have property {name.name}", ReasonCode.PROTOCOL_ERROR)
        value = _read(part, name)
        if name is Property.USER_PROPERTY or (name is Property.SUBSCRIPTION_IDENTIFIER and packet == "PUBLISH"):
            found.setdefault(name, []).append(value)
        elif name in found:
            raise ProtocolError(f"{packet} has property {name.name} twice", ReasonCode.PROTOCOL_ERROR)
        else:
            found[name] = [value] if name is Property.SUBSCRIPTION_IDENTIFIER else value
    return found


def _read(reader: PacketReader, name: Property) -> Any:
    kind = KINDS[name]
    if kind == "text":
        text = reader.text()
        if name is Property.RESPONSE_TOPIC and ("+" in text or "#" in text or not text):
            raise ProtocolError("a response topic is empty or has wildcards", ReasonCode.PROTOCOL_ERROR)
        return text
    if kind == "binary":
        return reader.binary()
    if kind == "pair":
        return reader.text(), reader.text()
    value = reader.varint() if kind == "varint" else reader.integer(_WIDTHS[kind])
    if kind == "flag" and value > 1:
        raise ProtocolError(f"property {name.name} is {value}, not 0 or 1", ReasonCode.PROTOCOL_ERROR)
    if not value and name in _POSITIVE:
        raise ProtocolError(f"property {name.name} is 0", _POSITIVE[name])
    return value


def write_properties(properties: Mapping[Property, Any]) -> bytes:
    """The properties with their length in front. Raises ValueError for a value that does not fit its type."""
    if not properties:
        return b"\0"
    written = bytearray()
    for name, value in properties.items():
        several = value if name in (Property.USER_PROPERTY, Property.SUBSCRIPTION_IDENTIFIER) else (value,)
        for each in several:
            written.append(name)
            written += _write(KINDS[name], each)
    return varint(len(written)) + written


def _write(kind: _Kind, value: Any) -> bytes:
    if kind == "text":
        return text(value)
    if kind == "binary":
        return binary(value)
    if kind == "pair":
        return text(value[0]) + text(value[1])
    if kind == "varint":
        return varint(value)
    try:
        return int(value).to_bytes(_WIDTHS[kind], "big")
    except OverflowError:
        raise ValueError(f"{value} does not fit into {_WIDTHS[kind]} bytes") from None
