"""Tasks side by side in threads."""

from __future__ import annotations

import threading

import pytest

from backend_demo.stack.threads import Stopped, at_once


def test_results_are_returned_by_name() -> None:
    stop = threading.Event()
    assert at_once({"one": lambda: 1, "two": lambda: 2}, stop) == {"one": 1, "two": 2}
    assert not stop.is_set()


def test_no_tasks_are_done() -> None:
    assert at_once({}, threading.Event()) == {}


def test_the_first_failure_stops_the_others_and_is_raised() -> None:
    stop = threading.Event()

    def until_stopped() -> None:
        assert stop.wait(10)
        raise Stopped

    def fail() -> None:
        raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason"):
        at_once({"first": until_stopped, "failing": fail, "last": until_stopped}, stop)
