"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable
from typing import Any


def eventually(true: Callable[[], Any], what: str, limit_s: float = 60) -> Any:
    """Polls `true` until its result is truthy, and returns that. Fails after `limit_s`, naming `what` it waited for."""
    deadline = time.monotonic() + limit_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.05)
    return found
