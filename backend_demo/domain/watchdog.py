"""Whether a service is stuck: it has work, makes no progress, and the servers that it needs answer."""

from __future__ import annotations


class Watchdog:
    """Follows one service. All times are seconds of one clock.

    A service becomes suspect when it has had work and made no progress for `patience_s`, and is stuck when it has then
    been suspect, with its servers reachable, for more than `limit_s`. Only a suspect's servers need to be probed.
    """

    def __init__(self, limit_s: float, now: float, *, patience_s: float) -> None:
        self._limit_s = limit_s
        self._patience_s = patience_s
        self._done = 0
        self._progress_at = now
        self._suspect_since: float | None = None

    def suspects(self, now: float, *, done: int, idle: bool) -> bool:
        """Notes how far the service is. `done`: a count that rises with progress; `idle`: nothing is left to do."""
        progressed = done != self._done
        if progressed:
            self._done, self._progress_at = done, now
        if progressed or idle or now - self._progress_at < self._patience_s:
            self._suspect_since = None
            return False
        return True

    def is_stuck(self, now: float, *, reachable: bool) -> bool:
        """Judges a suspect. An outage of a server (`reachable` is False) starts the limit again."""
        if not reachable or self._suspect_since is None:
            self._suspect_since = now
        return now - self._suspect_since > self._limit_s

    def seconds_without_progress(self, now: float) -> float:
        """The time since the last progress."""
        return now - self._progress_at
