"""Crash here: named points at which a service kills itself with SIGKILL. Armed only by tests (BDEMO_FAILPOINT)."""

from __future__ import annotations

import os
import signal

_armed = ""
_left = 0


def arm(setting: str) -> None:
    """`name` or `name@3`: die at the third time that the point is passed."""
    global _armed, _left
    _armed, _, count = setting.partition("@")
    _left = int(count or 1)


def hit(name: str) -> None:
    """The process passes this point; it dies here when the point is armed."""
    global _left
    if name == _armed:
        _left -= 1
        if _left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
