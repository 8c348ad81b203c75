"""Tokens that work once, and cookies that tell by themselves whether they are valid."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo import one_time
from backend_demo.one_time import OneTimeTokens, SessionCookies


def test_a_token_works_once() -> None:
    tokens = OneTimeTokens()
    first, second = tokens.issue(), tokens.issue()
    assert tokens.redeem(second)
    assert not tokens.redeem(second)
    assert tokens.redeem(first)
    assert not tokens.redeem("")


def test_a_token_that_is_too_old_does_not_work() -> None:
    tokens = OneTimeTokens(lasting_s=-1)
    assert not tokens.redeem(tokens.issue())


def test_tokens_that_nobody_uses_do_not_pile_up() -> None:
    tokens = OneTimeTokens()
    given = [tokens.issue() for _ in range(one_time.TOKENS_MAX + 1)]
    assert not tokens.redeem(given[0])
    assert tokens.redeem(given[1])
    assert tokens.redeem(given[-1])


def test_a_cookie_is_known_by_its_key_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    cookies = SessionCookies(b"key")
    cookie = cookies.issue()
    assert cookies.knows(cookie)
    assert SessionCookies(b"key").knows(cookie)  # a new process with the same key
    assert not SessionCookies(b"other").knows(cookie)
    later = str(int(cookie.partition(".")[0]) + 1)
    assert not cookies.knows(later + cookie[cookie.index(".") :])
    monkeypatch.setattr(time, "time", lambda now=time.time(): now + one_time.SESSION_S + 1)
    assert not cookies.knows(cookie)


@given(st.text())
def test_no_made_up_cookie_or_token_is_known(value: str) -> None:
    assert not SessionCookies(b"key").knows(value)
    assert not OneTimeTokens().redeem(value)
