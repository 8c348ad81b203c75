"""When a service counts as stuck: compared with a look at its whole history."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.domain.watchdog import Watchdog

LIMIT_S = 3

#: A second each: whether progress was made, whether nothing was left to do, whether the servers answered.
seconds = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=30) | st.lists(
    st.tuples(*[st.sampled_from([False, False, False, False, False, True])] * 2, st.just(True)), max_size=30
)


@pytest.mark.parametrize("patience_s", [0, LIMIT_S])
@given(seconds=seconds)
def test_a_service_is_stuck_after_the_limit_with_work_servers_and_no_progress(
    seconds: list[tuple[bool, bool, bool]], patience_s: int
) -> None:
    watchdog = Watchdog(LIMIT_S, 0, patience_s=patience_s)
    done = progress_at = 0
    suspect_at: list[int] = []
    """The seconds in a row, until now, at which it was suspect with its servers reachable or just back."""
    for now, (progress, idle, reachable) in enumerate(seconds, start=1):
        done += progress
        progress_at = now if progress else progress_at
        suspect = not progress and not idle and now - progress_at >= patience_s
        assert watchdog.suspects(now, done=done, idle=idle) == suspect
        if not suspect:
            suspect_at = []
            continue
        suspect_at = [*suspect_at, now] if reachable else [now]
        assert watchdog.is_stuck(now, reachable=reachable) == (now - suspect_at[0] > LIMIT_S)
        assert watchdog.seconds_without_progress(now) == now - progress_at


def test_work_after_an_idle_hour_is_not_late() -> None:
    """The hour counts as time without progress, but the limit begins with the first suspicion."""
    watchdog = Watchdog(LIMIT_S, 0, patience_s=LIMIT_S)
    assert not watchdog.suspects(3600, done=0, idle=True)
    assert watchdog.suspects(3601, done=0, idle=False)
    assert not watchdog.is_stuck(3601, reachable=True)
    assert watchdog.suspects(3605, done=0, idle=False)
    assert watchdog.is_stuck(3605, reachable=True)
