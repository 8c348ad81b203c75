"""Hypothesis strategies of MQTT packets: every kind, at every level, with every property that it may carry."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from backend_demo.mqtt.codec import bodies, properties
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
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
binaries = st.binary(max_size=12)
mids = st.integers(1, 65_535)
flags = st.booleans()

ACKS = (PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP)


def _value(name: Property, packet: str) -> st.SearchStrategy[Any]:
    """Valid values of a property in a packet."""
    if name is Property.SUBSCRIPTION_IDENTIFIER:
        return st.lists(st.integers(1, 268_435_455), min_size=1, max_size=3 if packet == "PUBLISH" else 1)
    if name is Property.USER_PROPERTY:
        return st.lists(st.tuples(texts, texts), min_size=1, max_size=3)
    if name is Property.RESPONSE_TOPIC:
        return st.text("ab/", min_size=1, max_size=5)
    kind = properties.KINDS[name]
    if kind == "text":
        return texts
    if kind == "binary":
        return binaries
    return st.integers(int(name in properties._POSITIVE), {"flag": 1, "short": 2**16 - 1, "long": 2**32 - 1}[kind])


@cache
def properties_of(allowed: frozenset[Property], packet: str) -> st.SearchStrategy[dict[Property, Any]]:
    """A few of the allowed properties; all at once take hypothesis ten times as long."""
    values = {name: _value(name, packet) for name in sorted(allowed)}
    names = st.lists(st.sampled_from(sorted(allowed)), unique=True, max_size=3)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: values[name] for name in chosen}))


@cache  # hypothesis checks every strategy that is new to it
def packets(level: int, *, to_broker: bool) -> st.SearchStrategy[Packet]:
    """Every packet but CONNECT that this end can receive."""

    def carried(kind: PacketType) -> st.SearchStrategy[dict[Property, Any]]:
        allowed = properties.ALLOWED[kind]
        if to_broker and kind is PacketType.PUBLISH:
            allowed = properties.TO_BROKER
        return properties_of(allowed, kind.name) if level == 5 else st.just({})

    def codes(kind: PacketType) -> st.SearchStrategy[int]:
        known = bodies.REASONS if level == 5 else bodies.OLD_CODES
        return st.sampled_from(sorted(known.get(kind, {0})))

    topics = st.one_of(binaries, st.just(b"sensors/7/temperature"), st.binary(min_size=120, max_size=140))
    payloads = st.one_of(binaries, st.binary(min_size=120, max_size=300))
    both: list[st.SearchStrategy[Packet]] = [
        st.builds(
            Publish, topics, payloads, st.just(0), st.just(0), st.just(False), flags, carried(PacketType.PUBLISH)
        ),
        st.builds(Publish, topics, payloads, st.integers(1, 2), mids, flags, flags, carried(PacketType.PUBLISH)),
        *(st.builds(Ack, st.just(kind), mids, codes(kind), carried(kind)) for kind in ACKS),
        st.builds(Disconnect, codes(PacketType.DISCONNECT), carried(PacketType.DISCONNECT)),
    ]
    if level == 5:
        method = {Property.AUTHENTICATION_METHOD: "SCRAM"}
        both.append(st.builds(Auth, codes(PacketType.AUTH), carried(PacketType.AUTH).map(lambda each: each | method)))
        both.append(st.just(Auth()))
    if to_broker:
        options = (flags, flags, st.integers(0, 2)) if level == 5 else ()
        subscriptions = st.builds(Subscription, texts, st.integers(0, 2), *options)
        return st.one_of(
            *both,
            st.just(Pingreq()),
            st.builds(Subscribe, mids, st.lists(subscriptions, min_size=1, max_size=3), carried(PacketType.SUBSCRIBE)),
            st.builds(Unsubscribe, mids, st.lists(texts, min_size=1, max_size=3), carried(PacketType.UNSUBSCRIBE)),
        )
    subacks = st.lists(codes(PacketType.SUBACK), min_size=1, max_size=3)
    unsubacks = st.lists(codes(PacketType.UNSUBACK), min_size=1, max_size=3) if level == 5 else st.just([])
    return st.one_of(
        *both,
        st.just(Pingresp()),
        st.builds(Connack, flags, codes(PacketType.CONNACK), carried(PacketType.CONNACK)),
        st.builds(Suback, mids, subacks, carried(PacketType.SUBACK)),
        st.builds(Unsuback, mids, unsubacks, carried(PacketType.UNSUBACK)),
    )


@cache
def connects(level: int) -> st.SearchStrategy[Connect]:
    """Every CONNECT of a level."""
    return _connects(level)


@st.composite
def _connects(draw: st.DrawFn, level: int) -> Connect:
    carried: st.SearchStrategy[dict[Property, Any]] = st.just({})
    will_carries = carried
    if level == 5:
        method = {Property.AUTHENTICATION_METHOD: "SCRAM"}
        carried = properties_of(properties.ALLOWED[PacketType.CONNECT], "CONNECT").map(
            lambda each: each | method if Property.AUTHENTICATION_DATA in each else each
        )
        will_carries = properties_of(properties.WILL, "a will")
    username = draw(st.none() | texts)
    return Connect(
        level,
        draw(texts),
        draw(flags),
        draw(st.integers(0, 65_535)),
        username,
        draw(st.none() | binaries) if username is not None or level == 5 else None,
        draw(st.none() | st.builds(Will, texts, binaries, st.integers(0, 2), flags, will_carries)),
        draw(carried),
    )
