"""What `bdemo tail` takes on its command line before it connects to anything."""

from __future__ import annotations

import pytest

from backend_demo.cli.tail.topic import start
from backend_demo.errors import UsageError
from backend_demo.operations.tail.mqtt import check_filter
from backend_demo.operations.tail.topic import Newest, Since


@pytest.mark.parametrize("given", ["sensors/#/x", "x" * 65_536, "\udcff"])
def test_an_invalid_topic_filter_is_a_usage_error(given: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_filter(given)
    assert raised.value.hint
    assert len(raised.value.message) < 200


def test_a_valid_topic_filter_is_not() -> None:
    check_filter("sensors/+/temperature")


def test_where_to_begin() -> None:
    assert start(None, False, None) == Newest(10)
    assert start(0, False, None) == Newest(0)
    assert start(None, True, None) == Since(0)
    assert start(None, False, "1700000000") == Since(1_700_000_000)


@pytest.mark.parametrize("given", [(3, True, None), (3, False, "5m"), (None, True, "5m")])
def test_ways_to_begin_exclude_each_other(given: tuple[int | None, bool, str | None]) -> None:
    with pytest.raises(UsageError, match="cannot be combined"):
        start(*given)
