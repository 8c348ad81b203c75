"""The properties of an MQTT 5 message as headers of its Kafka record, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from backend_demo.mqtt.codec.packets import Properties, Property
from backend_demo.mqtt.codec.wire import TEXT_MAX

CONTENT_TYPE = "mqtt-content-type"
PAYLOAD_FORMAT = "mqtt-payload-format"
RESPONSE_TOPIC = "mqtt-response-topic"
CORRELATION_DATA = "mqtt-correlation-data"
MESSAGE_EXPIRY = "mqtt-message-expiry"
USER_PROPERTY = "mqtt-user-property"
#: Marks what a client has published that does not want to see it itself.
PUBLISHER = "mqtt-publisher"

_EXPIRY_MAX = 2**32 - 1

_encode_pair = msgspec.json.Encoder().encode
_decode_pair = msgspec.json.Decoder(tuple[str, str]).decode


def publish_headers(properties: Properties) -> list[tuple[str, bytes]]:
    """The headers for the properties of a PUBLISH; those that concern only its connection are left out."""
    headers: list[tuple[str, bytes]] = []
    for name, value in properties.items():
        if name is Property.USER_PROPERTY:
            headers += [(USER_PROPERTY, _encode_pair(pair)) for pair in value]
        elif name in _HEADERS:
            header, write = _HEADERS[name]
            headers.append((header, write(value)))
    return headers


def publish_properties(headers: Iterable[tuple[str, bytes]]) -> Properties:
    """The properties in the headers of a record; headers of others, and those that are not valid, are ignored."""
    properties: Properties = {}
    for header, raw in headers:
        if header not in _PROPERTIES:
            continue
        name, read = _PROPERTIES[header]
        try:
            value = read(raw)
        except ValueError:
            continue
        if name is Property.USER_PROPERTY:
            properties.setdefault(name, []).append(value)
        else:
            properties[name] = value
    return properties


def _text(raw: bytes) -> str:
    if len(raw) > TEXT_MAX or b"\0" in raw:
        raise ValueError("no text of MQTT")
    return raw.decode()


def _topic(raw: bytes) -> str:
    if not raw or b"+" in raw or b"#" in raw:
        raise ValueError("no topic")
    return _text(raw)


def _binary(raw: bytes) -> bytes:
    if len(raw) > TEXT_MAX:
        raise ValueError("too long for MQTT")
    return raw


def _number(raw: bytes, maximum: int) -> int:
    if not raw.isdigit() or len(raw) > 10 or int(raw) > maximum:
        raise ValueError("no number of MQTT")
    return int(raw)


def _pair(raw: bytes) -> tuple[str, str]:
    name, value = _decode_pair(raw)
    return _text(name.encode()), _text(value.encode())


def _digits(number: int) -> bytes:
    return b"%d" % number


_HEADERS: dict[Property, tuple[str, Callable[[Any], bytes]]] = {
    Property.PAYLOAD_FORMAT_INDICATOR: (PAYLOAD_FORMAT, _digits),
    Property.MESSAGE_EXPIRY_INTERVAL: (MESSAGE_EXPIRY, _digits),
    Property.CONTENT_TYPE: (CONTENT_TYPE, str.encode),
    Property.RESPONSE_TOPIC: (RESPONSE_TOPIC, str.encode),
    Property.CORRELATION_DATA: (CORRELATION_DATA, bytes),
}
_PROPERTIES: dict[str, tuple[Property, Callable[[bytes], Any]]] = {
    PAYLOAD_FORMAT: (Property.PAYLOAD_FORMAT_INDICATOR, lambda raw: _number(raw, 1)),
    MESSAGE_EXPIRY: (Property.MESSAGE_EXPIRY_INTERVAL, lambda raw: _number(raw, _EXPIRY_MAX)),
    CONTENT_TYPE: (Property.CONTENT_TYPE, _text),
    RESPONSE_TOPIC: (Property.RESPONSE_TOPIC, _topic),
    CORRELATION_DATA: (Property.CORRELATION_DATA, _binary),
    USER_PROPERTY: (Property.USER_PROPERTY, _pair),
}
