"""The users file: what it holds comes back, what is wrong is named, and rights are what the filters say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.mqtt.passwords import HashCost, StoredPassword
from backend_demo.mqtt.users_file import FILTERS_MAX, Rights, UserEntry, name_problem, parse, serialise

STORED = StoredPassword(HashCost(4), b"s" * 16, b"d" * 32)

filters = st.lists(
    st.sampled_from(["#", "sensors/7/#", "+/temperature", "/küche/ä b", 'with "quotes"', "$SYS/#"]), unique=True
).map(tuple)
names = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
passwords = st.builds(
    StoredPassword, st.just(HashCost(4)), st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)
)
entries = st.builds(UserEntry, passwords, st.builds(Rights, filters, filters))


@given(st.dictionaries(names, entries, max_size=5))
def test_what_is_written_is_read(users: dict[str, UserEntry]) -> None:
    text = serialise(users)
    assert parse(text) == parse(text.encode()) == users
    assert list(parse(text)) == list(users)


def document(**entry: object) -> str:
    whole = {"password": str(STORED), "publish": ["#"], "subscribe": [], **entry}
    return json.dumps({"schema": "bdemo.mqtt-users/1", "users": {"pump": whole}})


def test_a_right_that_is_missing_allows_nothing() -> None:
    text = json.dumps({"schema": "bdemo.mqtt-users/1", "users": {"pump": {"password": str(STORED)}}})
    assert parse(text)["pump"].rights == Rights()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        (b"\xff\xfe\xfa", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "another version"),
        ('{"schema": "bdemo.mqtt-users/2", "users": {}}', "another version of bdemo .*users/2"),
        ('{"schema": "bdemo.mqtt-users/1"}', "`users` is missing"),
        ('{"schema": "bdemo.mqtt-users/1", "users": {"a b": {}}}', "invalid user 'a b'"),
        ('{"schema": "bdemo.mqtt-users/1", "users": {"pump": {}}}', "user 'pump' has no password"),
        ('{"schema": "bdemo.mqtt-users/1", "users": {"pump": 1}}', "user 'pump' has no password"),
        (document(password="secret"), "user 'pump': not a password hash"),
        (document(publish="#"), "user 'pump': a right is a list"),
        (document(publish=[7]), "user 'pump': a right is a list"),
        (document(subscribe=["a/#/b"]), "user 'pump': invalid MQTT filter 'a/#/b'"),
        (document(publish=[""]), "user 'pump': invalid MQTT filter ''"),
        (document(publish=[f"a/{each}" for each in range(FILTERS_MAX + 1)]), "at most 64"),
    ],
)
def test_what_is_wrong_is_named(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["a", "Sensor-7_x.y", "0", "a" * 64])
def test_a_name_may_be(name: str) -> None:
    assert name_problem(name) == ""


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a/b", "ü", "a:b", "a\n", "٣"])
def test_a_name_may_not_be(name: str) -> None:
    assert name_problem(name)


RIGHTS = Rights(publish=("sensors/7/#", "pump/+/state"), subscribe=("sensors/#", "cmd/+/pump"))


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        ("sensors/7/temperature", True),
        ("sensors/7", True),
        ("sensors/70/temperature", False),
        ("sensors/8/temperature", False),
        ("pump/3/state", True),
        ("pump/3/state/x", False),
        ("", False),
        ("$SYS/x", False),
    ],
)
def test_a_user_publishes_where_a_filter_matches(topic: str, allowed: bool) -> None:
    assert RIGHTS.may_publish(topic) == allowed


@pytest.mark.parametrize(
    ("topic_filter", "allowed"),
    [
        ("sensors/#", True),
        ("sensors/+/temperature", True),
        ("sensors/7/temperature", True),
        ("#", False),
        ("+/7/temperature", False),
        ("cmd/7/pump", True),
        ("cmd/+/pump", True),
        ("cmd/#", False),
    ],
)
def test_a_user_subscribes_to_what_its_filters_cover(topic_filter: str, allowed: bool) -> None:
    assert RIGHTS.may_subscribe(topic_filter) == allowed


def test_who_has_no_right_may_nothing() -> None:
    assert not Rights().may_publish("sensors/7/temperature")
    assert not Rights().may_subscribe("sensors/7/temperature")


def test_all_topics_are_all_but_those_of_the_broker() -> None:
    everything = Rights(("#",), ("#",))
    assert everything.may_publish("/küche/temperature")
    assert everything.may_subscribe("#")
    assert not everything.may_publish("$SYS/broker")
