"""The pauses between attempts: they double up to a limit, and chance shortens them only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backend_demo.adapters.backoff import Backoff

SECONDS = st.floats(0.001, 100.0)
SHARE = st.floats(0.0, 1.0)


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(first_s=0.25, longest_s=4.0)
    assert [backoff.delay_s(failures) for failures in range(1, 8)] == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_an_outage_of_any_length_keeps_the_longest_delay() -> None:
    assert Backoff(first_s=0.1, longest_s=2.0).delay_s(10**9) == 2.0


def test_chance_takes_off_at_most_the_spread() -> None:
    backoff = Backoff(first_s=1.0, longest_s=8.0, spread=0.5)
    assert [backoff.delay_s(2, chance) for chance in (0.0, 0.5, 1.0)] == [2.0, 1.5, 1.0]


@given(SECONDS, SECONDS, SHARE, st.integers(1, 10_000), SHARE)
def test_a_delay_is_between_its_bounds(
    first_s: float, longest_s: float, spread: float, failures: int, chance: float
) -> None:
    backoff = Backoff(first_s, longest_s, spread)
    least = min(first_s, longest_s) * (1 - spread)
    assert least - 1e-9 <= backoff.delay_s(failures, chance) <= longest_s


@given(SECONDS, SECONDS, st.integers(1, 10_000))
def test_a_later_delay_is_never_shorter(first_s: float, longest_s: float, failures: int) -> None:
    backoff = Backoff(first_s, longest_s)
    assert backoff.delay_s(failures) <= backoff.delay_s(failures + 1)
