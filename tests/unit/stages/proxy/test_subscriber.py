"""What a subscriber is sent: within its window, with aliases that it knows, and no more than it reads."""

from __future__ import annotations

import pytest

from backend_demo.mqtt.codec.packets import Property, ReasonCode, Subscribe, Subscription
from backend_demo.mqtt.users_file import Rights
from tests.support.proxy_sides import Subscribing, bounds


def show(side: Subscribing, payload: bytes, topic: bytes = b"sensors/7", qos: int = 1) -> None:
    side.subscriber.show(topic, payload, qos, {}, ())


@pytest.mark.parametrize("level", [3, 4, 5])
def test_the_window(level: int) -> None:
    side = Subscribing(level, window=2)
    for number in range(5):
        show(side, b"%d" % number)
    show(side, b"now", qos=0)  # needs no acknowledgement
    first = side.sent()
    assert [each.payload for each in first] == [b"0", b"1", b"now"]
    side.subscriber.acknowledged(first[1].mid)
    side.subscriber.acknowledged(first[1].mid)  # again: opens no more
    (third,) = side.sent()
    assert third.payload == b"2"
    side.subscriber.acknowledged(first[0].mid)
    side.subscriber.acknowledged(third.mid)
    assert [each.payload for each in side.sent()] == [b"3", b"4"]


def test_packet_ids_that_are_not_acknowledged_are_not_used_again() -> None:
    side = Subscribing(5, window=65_535, limits=bounds(subscriber_bytes=2**30))
    show(side, b"first")
    (first,) = side.sent()
    for _ in range(65_534):
        show(side, b"")
    mids = [each.mid for each in side.sent()]
    assert sorted([first.mid, *mids]) == list(range(1, 65_536))
    side.subscriber.acknowledged(700)
    show(side, b"last")
    assert [each.mid for each in side.sent()] == [700]


def test_aliases() -> None:
    side = Subscribing(5, topic_aliases=1)
    for topic in (b"a", b"b", b"a", b"b"):
        show(side, b"", topic)
    assert [(each.topic, each.properties.get(Property.TOPIC_ALIAS)) for each in side.sent()] == [
        *((b"a", 1), (b"b", None), (b"", 1), (b"b", None))
    ]


def test_an_alias_counts_from_the_first_message_that_was_sent() -> None:
    side = Subscribing(5, topic_aliases=1, packet_bytes=100, window=1)
    show(side, bytes(200), b"a")
    show(side, b"1", b"a")
    assert [(each.topic, each.payload, each.properties) for each in side.sent()] == [
        (b"a", b"1", {Property.TOPIC_ALIAS: 1})
    ]
    assert side.given_up == 0


def test_what_waits_for_the_window_is_bounded() -> None:
    side = Subscribing(5, limits=bounds(subscriber_bytes=10_000), window=1)
    for _ in range(10):
        show(side, bytes(900))
    assert side.given_up == 0
    for _ in range(5):
        show(side, bytes(900))
    assert side.given_up > 0


def test_what_is_not_read_is_bounded() -> None:
    side = Subscribing(4, limits=bounds(subscriber_bytes=10_000))
    show(side, b"", qos=0)
    assert side.given_up == 0
    side.transport.unread = 10_001
    show(side, b"", qos=0)
    assert side.given_up == 1


@pytest.mark.parametrize("level", [4, 5])
def test_codes_of_subscriptions(level: int) -> None:
    side = Subscribing(level, bounds(subscriptions=2), rights=Rights((), ("sensors/#", "$share/#")))
    wanted = ["sensors/+", "sensors/7", "sensors/8", "sensors/7", "#", "$share/a/sensors/1", "sensors/#/a"]
    codes = side.subscriber.subscribe(Subscribe(1, [Subscription(each, 2) for each in wanted]))
    reasons = [
        *(1, 1, ReasonCode.QUOTA_EXCEEDED, 1),
        *(ReasonCode.NOT_AUTHORIZED, ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, ReasonCode.TOPIC_FILTER_INVALID),
    ]
    assert codes == (reasons if level == 5 else [min(code, 0x80) for code in reasons])
    assert side.subscriber.unsubscribe("sensors/7") == ReasonCode.SUCCESS
    assert side.subscriber.unsubscribe("sensors/7") == ReasonCode.NO_SUBSCRIPTION_EXISTED
