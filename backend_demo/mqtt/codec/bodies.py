"""Decodes the body of every packet except PUBLISH, which `decoder.py` decodes where it finds it, for speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

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
    Properties,
    Property,
    ProtocolError,
    ReasonCode,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from backend_demo.mqtt.codec.properties import ALLOWED, WILL, read_properties
from backend_demo.mqtt.codec.wire import PacketReader

_LEVELS = {(b"MQIsdp", 3): 3, (b"MQTT", 4): 4, (b"MQTT", 5): 5}

_PUBLISHED = frozenset({0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99})
_RELEASED = frozenset({0x00, 0x92})

#: The reason codes that MQTT 5 allows in each packet.
REASONS: dict[PacketType, frozenset[int]] = {
    PacketType.CONNACK: frozenset({0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F}),
    PacketType.PUBACK: _PUBLISHED,
    PacketType.PUBREC: _PUBLISHED,
    PacketType.PUBREL: _RELEASED,
    PacketType.PUBCOMP: _RELEASED,
    PacketType.SUBACK: frozenset({0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2}),
    PacketType.UNSUBACK: frozenset({0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91}),
    PacketType.DISCONNECT: frozenset(
        {0x00, 0x04, *range(0x80, 0x84), 0x87, 0x89, 0x8B, *range(0x8D, 0x91), *range(0x93, 0xA3)}
    ),
    PacketType.AUTH: frozenset({0x00, 0x18, 0x19}),
}
#: The same before MQTT 5.
OLD_CODES = {PacketType.CONNACK: frozenset(range(6)), PacketType.SUBACK: frozenset({0, 1, 2, 0x80})}


def decode_body(kind: PacketType, reader: PacketReader, level: int) -> Packet:
    """The packet with this body. `level` has no meaning for CONNECT, which carries it. Raises ProtocolError."""
    packet = _DECODERS[kind](kind, reader, level)
    reader.finish()
    return packet


def _properties(kind: PacketType, reader: PacketReader, level: int) -> Properties:
    return read_properties(reader, ALLOWED[kind], kind.name) if level == 5 else {}


def _reason(kind: PacketType, reader: PacketReader, level: int = 5) -> int:
    code = reader.integer(1)
    if code not in (REASONS if level == 5 else OLD_CODES)[kind]:
        _violation(f"{kind.name} cannot have code {code}")
    return code


def _violation(message: str) -> NoReturn:
    raise ProtocolError(message, ReasonCode.PROTOCOL_ERROR)


def _connect(_: PacketType, reader: PacketReader, __: int) -> Connect:
    name, number = reader.binary(), reader.integer(1)
    # a bridge of mosquitto sets the highest bit of the level; it speaks 3.1.1, and tries again without when refused so
    answered = 5 if 5 <= number < 128 else 4
    level = _LEVELS.get((name, number))
    if level is None:
        raise ProtocolError(
            f"protocol {name[:20].decode(errors='replace')!r} level {number} is not MQTT 3.1, 3.1.1 or 5.0",
            ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
            level=answered,
        )
    try:
        return _connect_fields(reader, level)
    except ProtocolError as problem:
        problem.level = answered
        raise


def _connect_fields(reader: PacketReader, level: int) -> Connect:
    flags = reader.integer(1)
    if flags & 0x01 and level > 3:
        raise ProtocolError("CONNECT has its reserved flag set")
    has_username, has_password, has_will = flags & 0x80, flags & 0x40, flags & 0x04
    if flags >> 3 & 3 == 3:
        raise ProtocolError("a will has QoS 3")
    if flags & 0x38 and not has_will and level > 3:
        raise ProtocolError("CONNECT has the flags of a will and no will")
    if has_password and not has_username and level < 5:
        raise ProtocolError("CONNECT has a password and no user name")
    keep_alive_s = reader.integer(2)
    properties = _properties(PacketType.CONNECT, reader, level)
    if Property.AUTHENTICATION_DATA in properties and Property.AUTHENTICATION_METHOD not in properties:
        _violation("CONNECT has authentication data and no authentication method")
    client_id = reader.text()
    will = _will(reader, flags, level) if has_will else None
    # in MQTT 3.1 user name and password may be missing in spite of their flags
    username = reader.text() if has_username and (level > 3 or reader.left) else None
    password = reader.binary() if has_password and (level > 3 or reader.left) else None
    return Connect(level, client_id, bool(flags & 0x02), keep_alive_s, username, password, will, properties)


def _will(reader: PacketReader, flags: int, level: int) -> Will:
    properties = read_properties(reader, WILL, "a will") if level == 5 else {}
    return Will(reader.text(), reader.binary(), flags >> 3 & 3, bool(flags & 0x20), properties)


def _connack(kind: PacketType, reader: PacketReader, level: int) -> Connack:
    flags = reader.integer(1)
    if flags > 1:
        raise ProtocolError("CONNACK has reserved flags set")
    return Connack(flags == 1, _reason(kind, reader, level), _properties(kind, reader, level))


def _ack(kind: PacketType, reader: PacketReader, level: int) -> Ack:
    mid = reader.packet_id()
    if level < 5 or not reader.left:
        return Ack(kind, mid)
    reason = _reason(kind, reader)
    return Ack(kind, mid, reason, _properties(kind, reader, level) if reader.left else {})


def _subscribe(kind: PacketType, reader: PacketReader, level: int) -> Subscribe:
    mid = reader.packet_id()
    properties = _properties(kind, reader, level)
    filters: list[Subscription] = []
    while reader.left:
        filters.append(_subscription(reader.text(), reader.integer(1), level))
    if not filters:
        _violation("SUBSCRIBE without a topic filter")
    return Subscribe(mid, filters, properties)


def _subscription(topic_filter: str, options: int, level: int) -> Subscription:
    qos = options & 3
    if qos == 3 or options & (0xC0 if level == 5 else 0xFC):
        raise ProtocolError(f"SUBSCRIBE has options 0x{options:02x} for a topic filter")
    no_local, retain_handling = bool(options & 4), options >> 4
    if retain_handling == 3:
        _violation("SUBSCRIBE has retain handling 3")
    if no_local and topic_filter.startswith("$share/"):
        _violation("SUBSCRIBE has no local on a shared subscription")
    return Subscription(topic_filter, qos, no_local, bool(options & 8), retain_handling)


def _suback(kind: PacketType, reader: PacketReader, level: int) -> Suback:
    mid = reader.packet_id()
    properties = _properties(kind, reader, level)
    return Suback(mid, _codes(kind, reader, level), properties)


def _unsubscribe(kind: PacketType, reader: PacketReader, level: int) -> Unsubscribe:
    mid = reader.packet_id()
    properties = _properties(kind, reader, level)
    filters: list[str] = []
    while reader.left:
        filters.append(reader.text())
    if not filters:
        _violation("UNSUBSCRIBE without a topic filter")
    return Unsubscribe(mid, filters, properties)


def _unsuback(kind: PacketType, reader: PacketReader, level: int) -> Unsuback:
    mid = reader.packet_id()
    if level < 5:
        return Unsuback(mid)
    properties = _properties(kind, reader, level)
    return Unsuback(mid, _codes(kind, reader, level), properties)


def _codes(kind: PacketType, reader: PacketReader, level: int) -> list[int]:
    codes: list[int] = []
    while reader.left:
        codes.append(_reason(kind, reader, level))
    if not codes:
        _violation(f"{kind.name} without a code")
    return codes


def _pingreq(_: PacketType, __: PacketReader, ___: int) -> Pingreq:
    return Pingreq()


def _pingresp(_: PacketType, __: PacketReader, ___: int) -> Pingresp:
    return Pingresp()


def _disconnect(kind: PacketType, reader: PacketReader, level: int) -> Disconnect:
    if level < 5 or not reader.left:
        return Disconnect()
    reason = _reason(kind, reader)
    return Disconnect(reason, _properties(kind, reader, level) if reader.left else {})


def _auth(kind: PacketType, reader: PacketReader, level: int) -> Auth:
    if not reader.left:
        return Auth()
    reason, properties = _reason(kind, reader), _properties(kind, reader, level)
    if Property.AUTHENTICATION_METHOD not in properties:
        _violation("AUTH without an authentication method")
    return Auth(reason, properties)


_DECODERS: dict[PacketType, Callable[[PacketType, PacketReader, int], Packet]] = {
    PacketType.CONNECT: _connect,
    PacketType.CONNACK: _connack,
    PacketType.PUBACK: _ack,
    PacketType.PUBREC: _ack,
    PacketType.PUBREL: _ack,
    PacketType.PUBCOMP: _ack,
    PacketType.SUBSCRIBE: _subscribe,
    PacketType.SUBACK: _suback,
    PacketType.UNSUBSCRIBE: _unsubscribe,
    PacketType.UNSUBACK: _unsuback,
    PacketType.PINGREQ: _pingreq,
    PacketType.PINGRESP: _pingresp,
    PacketType.DISCONNECT: _disconnect,
    PacketType.AUTH: _auth,
}
