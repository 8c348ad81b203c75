"""The packets of MQTT as values, with the codes that they carry, by the names of the standard.

`level` is the protocol level of a connection: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0. What a level does not have is empty:
below 5 there are no properties and the reason of an acknowledgement is 0.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec


class PacketType(IntEnum):
    """The upper half of a packet's first byte."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class ConnectCode(IntEnum):
    """The return codes of CONNACK before MQTT 5."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL_VERSION = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_USER_NAME_OR_PASSWORD = 4
    NOT_AUTHORIZED = 5


class ReasonCode(IntEnum):
    """The reason codes of MQTT 5; from 128 on they are failures."""

    SUCCESS = 0x00
    NORMAL_DISCONNECTION = 0x00
    GRANTED_QOS_0 = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL_MESSAGE = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    RE_AUTHENTICATE = 0x19
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


class Property(IntEnum):
    """The identifiers of the properties of MQTT 5."""

    PAYLOAD_FORMAT_INDICATOR = 0x01
    MESSAGE_EXPIRY_INTERVAL = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY_INTERVAL = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY_INTERVAL = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    RESPONSE_INFORMATION = 0x1A
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A


Properties = dict[Property, Any]
"""int, str or bytes by identifier; USER_PROPERTY is a list of pairs of str, SUBSCRIPTION_IDENTIFIER a list of int."""


class ProtocolError(Exception):
    """The other end broke the rules of MQTT, so the connection must end; the message says how, `reason` is its code.

    `level`: how the answer is written, 5 or 4; before a CONNECT was understood it is what the client seems to speak.
    """

    def __init__(self, message: str, reason: ReasonCode = ReasonCode.MALFORMED_PACKET, *, level: int = 4) -> None:
        super().__init__(message)
        self.reason = reason
        self.level = level


class Will(msgspec.Struct, frozen=True, gc=False):
    """The message that the broker publishes when the client is gone without DISCONNECT."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = {}


class Connect(msgspec.Struct, frozen=True, gc=False):
    """The first packet of a client; a keep-alive of 0 s means none."""

    level: int
    client_id: str
    clean_start: bool = True
    keep_alive_s: int = 0
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties = {}


class Connack(msgspec.Struct, frozen=True, gc=False):
    """The answer to CONNECT; `code` is a `ReasonCode` at level 5 and a `ConnectCode` below."""

    session_present: bool
    code: int
    properties: Properties = {}


class Publish(msgspec.Struct, frozen=True, gc=False):
    """A message. `mid` is 0 for QoS 0. `topic` is unchecked, and may be empty where an alias stands for it."""

    topic: bytes
    payload: bytes
    qos: int = 0
    mid: int = 0
    dup: bool = False
    retain: bool = False
    properties: Properties = {}


class Oversized(msgspec.Struct, frozen=True, gc=False):
    """A PUBLISH above the limit, of which only the beginning was kept; `size` counts the bytes of the whole payload."""

    topic: bytes
    head: bytes
    size: int
    qos: int
    mid: int


class Ack(msgspec.Struct, frozen=True, gc=False):
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""

    kind: PacketType
    mid: int
    reason: int = 0
    properties: Properties = {}


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """One topic filter of SUBSCRIBE with its options; below level 5 the QoS is the only one."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(msgspec.Struct, frozen=True, gc=False):
    """A request for messages."""

    mid: int
    filters: list[Subscription]
    properties: Properties = {}


class Suback(msgspec.Struct, frozen=True, gc=False):
    """The answer to SUBSCRIBE: one code for each filter, the granted QoS or a failure from 128 on."""

    mid: int
    codes: list[int]
    properties: Properties = {}


class Unsubscribe(msgspec.Struct, frozen=True, gc=False):
    """The end of subscriptions."""

    mid: int
    filters: list[str]
    properties: Properties = {}


class Unsuback(msgspec.Struct, frozen=True, gc=False):
    """The answer to UNSUBSCRIBE: one code for each filter; below level 5 there are none."""

    mid: int
    codes: list[int] = []
    properties: Properties = {}


class Pingreq(msgspec.Struct, frozen=True, gc=False):
    """A client's sign of life."""


class Pingresp(msgspec.Struct, frozen=True, gc=False):
    """The answer to PINGREQ."""


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """The orderly end of a connection; below level 5 only a client sends it."""

    reason: int = 0
    properties: Properties = {}


class Auth(msgspec.Struct, frozen=True, gc=False):
    """A step of an extended authentication; level 5 only."""

    reason: int = 0
    properties: Properties = {}


Packet = (
    Publish | Ack | Pingreq | Pingresp | Connect | Connack | Subscribe | Suback | Unsubscribe | Unsuback
    | Disconnect | Auth | Oversized
)  # fmt: skip
