"""Crash here: named points at which a service kills itself, or fails. Armed only by tests (BDEMO_FAILPOINT)."""

from __future__ import annotations

import os
import signal

_armed = ""
_left = 0
_raises = False


class FailPoint(Exception):
    """A failure as of a bug in the service."""


def arm(setting: str) -> None:
    """`name` or `name@3`: die by SIGKILL at the third time that the point is passed; `name!`: raise FailPoint there."""
    global _armed, _left, _raises
    _armed, _, count = setting.rstrip("!").partition("@")
    _left = int(count or 1)
    _raises = setting.endswith("!")


def hit(name: str) -> None:
    """The process passes this point; it dies here when the point is armed."""
    global _left
    if name == _armed:
        _left -= 1
        if _left <= 0 and _raises:
            raise FailPoint(name)
        if _left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
