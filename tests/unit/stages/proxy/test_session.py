"""What CONNACK says, to those who are let in and to the others."""

from __future__ import annotations

import pytest

from backend_demo.mqtt.codec.packets import Connack, Connect, Property, ReasonCode
from backend_demo.stages.proxy.session import accepted, refusal
from tests.support.proxy_sides import bounds, session

LIMITS = bounds(in_flight=7, packet_bytes=70_000, topic_aliases=3)


@pytest.mark.parametrize("level", [3, 4])
def test_below_mqtt_5_there_is_nothing_to_say(level: int) -> None:
    assert accepted(session(level), Connect(level, "client"), LIMITS) == Connack(False, 0)


def test_mqtt_5_learns_what_it_may_do() -> None:
    answer = accepted(session(keep_alive_s=60), Connect(5, "client", keep_alive_s=60), LIMITS)
    assert answer == Connack(
        False,
        0,
        {
            Property.RECEIVE_MAXIMUM: 7,
            Property.RETAIN_AVAILABLE: 0,
            Property.SHARED_SUBSCRIPTION_AVAILABLE: 0,
            Property.MAXIMUM_PACKET_SIZE: 70_000,
            Property.TOPIC_ALIAS_MAXIMUM: 3,
        },
    )


def test_mqtt_5_learns_what_it_asked_for_and_does_not_get() -> None:
    asked = Connect(5, "", keep_alive_s=0, properties={Property.SESSION_EXPIRY_INTERVAL: 3600})
    found = accepted(session(keep_alive_s=3600), asked, LIMITS).properties
    assert found[Property.SERVER_KEEP_ALIVE] == 3600
    assert found[Property.SESSION_EXPIRY_INTERVAL] == 0
    assert found[Property.ASSIGNED_CLIENT_IDENTIFIER] == "client"


@pytest.mark.parametrize(
    ("reason", "old"),
    [
        (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, 1),
        (ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, 2),
        (ReasonCode.SERVER_BUSY, 3),
        (ReasonCode.BAD_USER_NAME_OR_PASSWORD, 4),
        (ReasonCode.NOT_AUTHORIZED, 5),
        (ReasonCode.BAD_AUTHENTICATION_METHOD, 3),
    ],
)
def test_refusals(reason: ReasonCode, old: int) -> None:
    assert refusal(reason, 5) == Connack(False, reason)
    assert refusal(reason, 4) == refusal(reason, 3) == Connack(False, old)
