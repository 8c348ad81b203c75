"""When a client has let a time limit pass."""

from __future__ import annotations

from typing import Any

import pytest

from backend_demo.stages.proxy.bounds import overdue
from tests.support.proxy_sides import bounds

LIMITS = bounds(connect_timeout_s=10, packet_timeout_s=30)
NOW = 1000.0


def is_overdue(**changed: Any) -> bool:
    fields: dict[str, Any] = {
        "connecting_since": None,
        "heard_at": NOW,
        "keep_alive_s": 0,
        "partial_since": None,
        "paused": False,
        "unread": False,
    }
    return overdue(LIMITS, NOW, **{**fields, **changed})


def test_a_client_that_is_heard_is_never_overdue() -> None:
    assert not is_overdue()
    assert not is_overdue(heard_at=0)  # without a keep-alive it may be silent for ever


@pytest.mark.parametrize(("age", "late"), [(9, False), (11, True)])
def test_connect_has_its_own_limit(age: float, late: bool) -> None:
    assert is_overdue(connecting_since=NOW - age) is late
    assert is_overdue(connecting_since=NOW - age, partial_since=NOW, heard_at=NOW) is late  # byte by byte


@pytest.mark.parametrize(("silence", "late"), [(89, False), (91, True)])
def test_half_as_much_again_as_the_keep_alive(silence: float, late: bool) -> None:
    assert is_overdue(keep_alive_s=60, heard_at=NOW - silence) is late


@pytest.mark.parametrize(("age", "late"), [(29, False), (31, True)])
def test_a_packet_that_has_begun_must_end(age: float, late: bool) -> None:
    assert is_overdue(partial_since=NOW - age) is late


def test_what_is_not_read_is_no_silence_of_the_client() -> None:
    assert not is_overdue(paused=True, keep_alive_s=1, heard_at=0, partial_since=0)


@pytest.mark.parametrize(("age", "late"), [(29, False), (31, True)])
def test_a_client_must_read_what_is_sent_to_it(age: float, late: bool) -> None:
    assert is_overdue(paused=True, unread=True, heard_at=NOW - age) is late
