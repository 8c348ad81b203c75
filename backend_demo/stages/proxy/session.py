"""What CONNECT agrees on: who the client is, what it may do, and what either side can take."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from backend_demo.mqtt.codec.packets import Connack, Connect, ConnectCode, Properties, Property, ReasonCode, Will
from backend_demo.mqtt.users import CheckBusy, Rights, Users
from backend_demo.stages.proxy.bounds import Bounds

#: Messages of QoS 1 that a client of MQTT 3 gets before it must have acknowledged some; MQTT 5 clients name it.
WINDOW = 1000

#: The return code of MQTT 3.1.1 for a refusal; any other refusal is "server unavailable".
_CONNECT_CODES = {
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: ConnectCode.UNACCEPTABLE_PROTOCOL_VERSION,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: ConnectCode.IDENTIFIER_REJECTED,
    ReasonCode.BAD_USER_NAME_OR_PASSWORD: ConnectCode.BAD_USER_NAME_OR_PASSWORD,
    ReasonCode.NOT_AUTHORIZED: ConnectCode.NOT_AUTHORIZED,
}


@dataclass(slots=True)
class ClientSession:
    """One client, from CONNECT until its connection ends: nothing of it is kept."""

    level: int
    """The version: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0."""
    client_id: str
    user: str
    rights: Rights
    keep_alive_s: int
    will: Will | None
    wants_reasons: bool
    """Whether it takes a text that explains a refusal."""
    window: int
    """Messages of QoS 1 that it takes before it has acknowledged some."""
    packet_bytes: int
    """Largest packet that it takes; 0: any."""
    topic_aliases: int
    """Topic aliases that it takes."""
    mark: bytes = b""
    """In the headers of all that it publishes, once it has a subscription that shows it nothing of its own."""


class LoginRefused(Exception):
    """A client is not let in. `reason`: MQTT 5's."""

    def __init__(self, reason: ReasonCode) -> None:
        super().__init__(reason.name.lower().replace("_", " "))
        self.reason = reason


async def log_in(connect: Connect, users: Users, bounds: Bounds, origin: str) -> ClientSession:
    """Checks a client's CONNECT. `origin`: its address. Raises LoginRefused."""
    properties, will = connect.properties, connect.will
    if Property.AUTHENTICATION_METHOD in properties:
        raise LoginRefused(ReasonCode.BAD_AUTHENTICATION_METHOD)
    if not connect.client_id and connect.level < 5 and not connect.clean_start:
        raise LoginRefused(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID)
    if will is not None and will.retain and connect.level >= 5:
        raise LoginRefused(ReasonCode.RETAIN_NOT_SUPPORTED)
    if connect.username is None:
        raise LoginRefused(ReasonCode.NOT_AUTHORIZED)
    try:
        rights = await users.check(connect.username, connect.password or b"", origin)
    except CheckBusy:
        raise LoginRefused(ReasonCode.SERVER_BUSY) from None
    if rights is None:
        raise LoginRefused(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
    asked, longest = connect.keep_alive_s, bounds.keep_alive_max_s
    return ClientSession(
        level=connect.level,
        client_id=connect.client_id or f"bdemo-{secrets.token_hex(8)}",
        user=connect.username,
        rights=rights,
        # before MQTT 5, a server cannot ask for a shorter one
        keep_alive_s=min(asked or longest, longest) if connect.level >= 5 else asked,
        will=will,
        wants_reasons=properties.get(Property.REQUEST_PROBLEM_INFORMATION, 1) == 1,
        window=properties.get(Property.RECEIVE_MAXIMUM, 65_535 if connect.level >= 5 else WINDOW),
        packet_bytes=properties.get(Property.MAXIMUM_PACKET_SIZE, 0),
        topic_aliases=properties.get(Property.TOPIC_ALIAS_MAXIMUM, 0),
    )


def accepted(session: ClientSession, connect: Connect, bounds: Bounds) -> Connack:
    """The answer to a client that is let in: what the proxy offers and what it does not."""
    if session.level < 5:
        return Connack(False, ConnectCode.ACCEPTED, {})
    properties: Properties = {
        Property.RECEIVE_MAXIMUM: bounds.in_flight,
        Property.RETAIN_AVAILABLE: 0,
        Property.SHARED_SUBSCRIPTION_AVAILABLE: 0,
        Property.MAXIMUM_PACKET_SIZE: bounds.packet_bytes,
        Property.TOPIC_ALIAS_MAXIMUM: bounds.topic_aliases,
    }
    if connect.properties.get(Property.SESSION_EXPIRY_INTERVAL, 0):
        properties[Property.SESSION_EXPIRY_INTERVAL] = 0
    if not connect.client_id:
        properties[Property.ASSIGNED_CLIENT_IDENTIFIER] = session.client_id
    if session.keep_alive_s != connect.keep_alive_s:
        properties[Property.SERVER_KEEP_ALIVE] = session.keep_alive_s
    return Connack(False, ReasonCode.SUCCESS, properties)


def refusal(reason: ReasonCode, level: int) -> Connack:
    """The answer to a client that is not let in."""
    code = reason if level >= 5 else _CONNECT_CODES.get(reason, ConnectCode.SERVER_UNAVAILABLE)
    return Connack(False, code, {})
