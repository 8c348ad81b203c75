"""A fault that is done on purpose to a copy of a service, or to all of its copies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

FaultKind = Literal["kill", "pause", "restart"]
"""`kill`: SIGKILL. `pause`: stands still, and goes on afterwards. `restart`: ends in order, and is started again."""

KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


@dataclass(frozen=True)
class ServiceFault:
    """One fault of a plan."""

    at_s: float
    """When it begins, seconds after the start."""
    kind: FaultKind
    target: str
    """A service, which means all of its copies, or one copy."""
    for_s: float = 0.0
    """How long it lasts, seconds: the time that a killed or restarted service stays down. 0: it begins and ends."""

    @property
    def end_s(self) -> float:
        """When it ends, seconds after the start."""
        return self.at_s + self.for_s

    @property
    def service(self) -> str:
        """The service of its target."""
        return re.sub(r"-\d+$", "", self.target)


def first_clash(faults: Iterable[ServiceFault]) -> tuple[ServiceFault, ServiceFault] | None:
    """The first two faults that one service would suffer at the same time; None when there are none."""
    newest: dict[str, ServiceFault] = {}
    for fault in sorted(faults, key=lambda fault: fault.at_s):
        before = newest.get(fault.service)
        if before is not None and fault.at_s <= before.end_s:
            return before, fault
        newest[fault.service] = fault
    return None
