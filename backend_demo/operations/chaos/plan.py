"""A plan of random faults: the same seed, time and targets always make the same plan."""

from __future__ import annotations

import random
from collections.abc import Sequence

from backend_demo.domain.fault import KINDS, ServiceFault
from backend_demo.errors import UsageError

#: Shortest and longest run, seconds.
SHORTEST_S, LONGEST_S = 30.0, 86_400.0
#: No fault begins or lasts in the first and in the last moments of a run, seconds.
LEAD_S, CALM_S = 4.0, 10.0
#: From the end of one fault to the beginning of the next, seconds: some begin before all is well again.
GAP_S = (4.0, 25.0)
#: How often each kind is chosen, in the order of KINDS.
WEIGHTS = (5, 3, 2)
#: How long a pause lasts, seconds: both less and more than the 10 s after which Kafka takes partitions away.
PAUSE_S = (1.0, 20.0)
#: How long a killed service stays down, seconds, in every second case; else it is started again at once.
DOWN_S = (2.0, 15.0)


def random_plan(seed: int, duration_s: float, targets: Sequence[str]) -> tuple[ServiceFault, ...]:
    """Faults of these targets, at least one, one after the other. Raises UsageError."""
    if not SHORTEST_S <= duration_s <= LONGEST_S:
        raise UsageError(f"--for is {duration_s:g} s", hint=f"choose from {SHORTEST_S:g}s to 1d")
    rng = random.Random(seed)  # noqa: S311 - no secret
    plan: list[ServiceFault] = []
    at_s, last_s = LEAD_S + rng.uniform(0, GAP_S[0]), duration_s - CALM_S
    while at_s < last_s:
        # not the same one twice: the supervisor gives up what again and again ends as soon as it was started
        before = {fault.target for fault in plan[-1:]} if len(targets) > 1 else set()
        target = rng.choice([name for name in targets if name not in before])
        kind = rng.choices(KINDS, WEIGHTS)[0]
        down_s = rng.uniform(*DOWN_S) if rng.random() < 0.5 else 0.0
        pause_s = rng.uniform(*PAUSE_S)
        for_s = min({"kill": down_s, "pause": pause_s, "restart": 0.0}[kind], last_s - at_s)
        plan.append(ServiceFault(round(at_s, 1), kind, target, round(for_s, 1)))
        at_s += for_s + rng.uniform(*GAP_S)
    return tuple(plan)
