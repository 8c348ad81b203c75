"""What `bdemo tail` takes on its command line before it connects to anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from backend_demo.cli.tail import address, start
from backend_demo.errors import UsageError
from backend_demo.operations.tail import Newest, Since
from backend_demo.operations.tail_mqtt import check_filter


@pytest.mark.parametrize(
    "given", ["#", "/#", "sensors/#", "sensors/+/temperature", "+", "+/+/#", "/", "a//b", "$SYS/#", "ü"]
)
def test_a_topic_filter_is_taken(given: str) -> None:
    check_filter(given)


@pytest.mark.parametrize("given", ["", "sensors/#/x", "a#", "#/", "sensors+", "+a/b", "a\0b", "x" * 65_536, "\udcff"])
def test_what_is_no_topic_filter_is_a_usage_error(given: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_filter(given)
    assert raised.value.hint
    assert len(raised.value.message) < 200


@given(st.lists(st.sampled_from(["a", "b", "", "+", "#", "a+", "a#"]), min_size=1, max_size=4))
def test_paho_matches_with_every_filter_that_is_taken(levels: list[str]) -> None:
    try:
        check_filter("/".join(levels))
    except UsageError:
        return
    matching = "/".join("a" if level in ("+", "#") else level for level in levels)
    assert topic_matches_sub("/".join(levels), matching)


def test_where_to_begin() -> None:
    assert start(None, False, None) == Newest(10)
    assert start(0, False, None) == Newest(0)
    assert start(None, True, None) == Since(0)
    assert start(None, False, "1700000000") == Since(1_700_000_000)


@pytest.mark.parametrize("given", [(3, True, None), (3, False, "5m"), (None, True, "5m")])
def test_ways_to_begin_exclude_each_other(given: tuple[int | None, bool, str | None]) -> None:
    with pytest.raises(UsageError, match="exclude"):
        start(*given)


def test_an_address_is_host_and_port() -> None:
    assert address("127.0.0.1:1883") == ("127.0.0.1", 1883)
    assert address("[::1]:1883") == ("::1", 1883)
    assert address("broker.example:1") == ("broker.example", 1)


@pytest.mark.parametrize(
    "given", ["", "host", ":1883", "host:", "host:0", "host:65536", "host:9999999999", "host:x", "host:-1", "host:٣"]
)
def test_what_is_no_address_is_a_usage_error(given: str) -> None:
    with pytest.raises(UsageError):
        address(given)
