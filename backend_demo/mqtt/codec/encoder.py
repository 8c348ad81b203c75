"""Writes packets as bytes, for every level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any

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
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from backend_demo.mqtt.codec.properties import write_properties
from backend_demo.mqtt.codec.wire import binary, text, varint

_pack_short = Struct(">BBH").pack
_NAMES = {3: b"\0\6MQIsdp\3", 4: b"\0\4MQTT\4", 5: b"\0\4MQTT\5"}


def encode(packet: Packet, level: int) -> bytes:
    """Any packet; what the level does not have, such as properties below 5, is left out.

    Raises ValueError for values that MQTT cannot carry, TypeError for an `Oversized`.
    """
    write = _WRITERS.get(type(packet))
    if write is None:
        raise TypeError(f"{type(packet).__name__} cannot be encoded")
    return write(packet, level)


def publish(
    topic: bytes,
    payload: bytes,
    *,
    qos: int,
    mid: int,
    dup: bool = False,
    retain: bool = False,
    properties: Properties = {},  # noqa: B006  it is only read
    level: int,
) -> bytes:
    """A PUBLISH; `mid` counts only above QoS 0."""
    first = 0x30 | qos << 1 | dup << 3 | retain
    middle = write_properties(properties) if level == 5 else b""
    if qos:
        middle = mid.to_bytes(2, "big") + middle
    size = 2 + len(topic) + len(middle) + len(payload)
    if size < 128:  # one call for all numbers: a third faster
        return b"".join((_pack_short(first, size, len(topic)), topic, middle, payload))
    return b"".join((bytes((first,)), varint(size), binary(topic), middle, payload))


def puback(mid: int) -> bytes:
    """A PUBACK of success: the same at all levels."""
    return (0x4002_0000 | mid).to_bytes(4, "big")


def _packet(kind: PacketType, body: bytes) -> bytes:
    flags = 2 if kind in (PacketType.PUBREL, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE) else 0
    return bytes((kind << 4 | flags,)) + varint(len(body)) + body


def _properties(properties: Mapping[Any, Any], level: int) -> bytes:
    return write_properties(properties) if level == 5 else b""


def _id(mid: int) -> bytes:
    return mid.to_bytes(2, "big")


def _publish(packet: Publish, level: int) -> bytes:
    return publish(
        packet.topic,
        packet.payload,
        qos=packet.qos,
        mid=packet.mid,
        dup=packet.dup,
        retain=packet.retain,
        properties=packet.properties,
        level=level,
    )


def _connect(packet: Connect, _: int) -> bytes:
    level, will = packet.level, packet.will
    flags = packet.clean_start << 1 | (packet.password is not None) << 6 | (packet.username is not None) << 7
    if will is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
    body = _NAMES[level] + bytes((flags,)) + packet.keep_alive_s.to_bytes(2, "big")
    body += _properties(packet.properties, level) + text(packet.client_id)
    if will is not None:
        body += _properties(will.properties, level) + text(will.topic) + binary(will.payload)
    if packet.username is not None:
        body += text(packet.username)
    if packet.password is not None:
        body += binary(packet.password)
    return _packet(PacketType.CONNECT, body)


def _connack(packet: Connack, level: int) -> bytes:
    return _packet(
        PacketType.CONNACK, bytes((packet.session_present, packet.code)) + _properties(packet.properties, level)
    )


def _ack(packet: Ack, level: int) -> bytes:
    return _packet(packet.kind, _id(packet.mid) + _reason(packet.reason, packet.properties, level))


def _reason(reason: int, properties: Properties, level: int) -> bytes:
    """The end of a packet from which success and an absence of properties may be left out."""
    if level < 5 or not (reason or properties):
        return b""
    return bytes((reason,)) + (write_properties(properties) if properties else b"")


def _subscribe(packet: Subscribe, level: int) -> bytes:
    body = bytearray(_id(packet.mid) + _properties(packet.properties, level))
    for each in packet.filters:
        body += text(each.filter)
        more = each.no_local << 2 | each.retain_as_published << 3 | each.retain_handling << 4
        body.append(each.qos | more if level == 5 else each.qos)
    return _packet(PacketType.SUBSCRIBE, bytes(body))


def _suback(packet: Suback, level: int) -> bytes:
    return _packet(PacketType.SUBACK, _id(packet.mid) + _properties(packet.properties, level) + bytes(packet.codes))


def _unsubscribe(packet: Unsubscribe, level: int) -> bytes:
    head = _id(packet.mid) + _properties(packet.properties, level)
    return _packet(PacketType.UNSUBSCRIBE, head + b"".join(map(text, packet.filters)))


def _unsuback(packet: Unsuback, level: int) -> bytes:
    body = _id(packet.mid)
    if level == 5:
        body += write_properties(packet.properties) + bytes(packet.codes)
    return _packet(PacketType.UNSUBACK, body)


def _disconnect(packet: Disconnect, level: int) -> bytes:
    return _packet(PacketType.DISCONNECT, _reason(packet.reason, packet.properties, level))


def _auth(packet: Auth, level: int) -> bytes:
    if level < 5:
        raise ValueError("AUTH exists in MQTT 5 only")
    if not packet.reason and not packet.properties:
        return _packet(PacketType.AUTH, b"")
    return _packet(PacketType.AUTH, bytes((packet.reason,)) + write_properties(packet.properties))


_WRITERS: dict[type, Callable[[Any, int], bytes]] = {
    Publish: _publish,
    Ack: _ack,
    Connect: _connect,
    Connack: _connack,
    Subscribe: _subscribe,
    Suback: _suback,
    Unsubscribe: _unsubscribe,
    Unsuback: _unsuback,
    Pingreq: lambda _, __: b"\xc0\0",
    Pingresp: lambda _, __: b"\xd0\0",
    Disconnect: _disconnect,
    Auth: _auth,
}
