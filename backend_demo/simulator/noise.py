"""Numbers that look random and depend on their key only."""

from __future__ import annotations

_MASK = 2**64 - 1


def noise(*key: int) -> float:
    """A number from 0 up to, but not including, 1, spread evenly; the same for the same key on every machine.

    SplitMix64's finalizer over the key: no state, 1 us, so any reading of any sensor can be computed at once.
    """
    state = 0
    for number in key:
        state = (state + 0x9E3779B97F4A7C15 ^ number) & _MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return (state >> 11) / 2**53
