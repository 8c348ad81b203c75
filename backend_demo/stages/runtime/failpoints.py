"""Named points at which a service kills itself or fails. Armed only by tests (BDEMO_FAILPOINT)."""

from __future__ import annotations

import os
import signal


class FailPoint(Exception):
    """Stands for a failure caused by a bug in the service."""


class FailPoints:
    """The points of one service, of which one at most is armed."""

    def __init__(self, setting: str = "") -> None:
        """`name` or `name@3`: dies by SIGKILL when the point is passed for the third time; `name!`: raises FailPoint.

        Without a name, no point is armed.
        """
        self._armed, _, count = setting.rstrip("!").partition("@")
        self._left = int(count or 1)
        self._raises = setting.endswith("!")

    def hit(self, name: str) -> None:
        """Passes a point: the process dies here when it is armed and its count is reached."""
        if name == self._armed:
            self._left -= 1
            if self._left <= 0 and self._raises:
                raise FailPoint(name)
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
