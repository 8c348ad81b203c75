"""How long to wait before each new attempt. Pure: chance is an argument."""

from __future__ import annotations

from dataclasses import dataclass

#: Doublings after which a delay has reached any sensible limit; bounds the arithmetic of an endless outage.
_DOUBLINGS_MAX = 30


@dataclass(frozen=True)
class Backoff:
    """Delays between attempts: each twice the one before, up to a limit."""

    first_s: float
    longest_s: float
    spread: float = 0.0
    """The share of a delay that chance may take off, 0 to 1: so clients that failed together return one by one."""

    def delay_s(self, failures: int, chance: float = 0.0) -> float:
        """Seconds to wait after so many failures in a row, from 1. `chance`: a random number from 0 to 1."""
        delay_s = self.first_s * 2.0 ** min(failures - 1, _DOUBLINGS_MAX)
        return min(self.longest_s, delay_s) * (1.0 - self.spread * chance)
