"""Faults on purpose, in the processes or containers of one stack and in nothing else."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from backend_demo.domain.fault import FaultKind
from backend_demo.errors import ResourceInUse, ServiceFailed, UnknownName
from backend_demo.stack.base import HEALTHY, Stack
from backend_demo.stack.services.service import Service
from backend_demo.stack.services.table import chosen, copy_of
from backend_demo.stack.state.directory import StateDirectory

#: Time that a service may take to be ready again, seconds: a Kafka that was killed under load takes longest.
RECOVERY_LIMIT_S = 120.0
POLL_S = 0.2


class FaultMaker(Protocol):
    """Does faults to the copies of a stack's services."""

    state: StateDirectory

    @property
    def table(self) -> Mapping[str, Service]:
        """The services of the stack."""

    def running(self) -> list[str]:
        """The copies that run now under the stack. Raises NoStack."""

    def fault(self, kind: FaultKind, copies: Collection[str], *, held: bool) -> AbstractContextManager[None]:
        """A block in which these copies suffer the fault.

        It ends with the block, or with this process, in whatever way. `held`: what is killed stays down until then.
        """


@dataclass(frozen=True)
class Recovery:
    """When all was well again after a fault, seconds after its end; None: not in the time given."""

    victims_s: float | None
    """The copies that suffered the fault were ready."""
    all_s: float | None
    """Every copy that was ready before the fault was so again."""


def victims(maker: FaultMaker, target: str) -> list[str]:
    """The copies that a name means, all of which run.

    Raises NoStack, UnknownName; ServiceFailed: one does not run; ResourceInUse: one is run by hand.
    """
    running, wanted = maker.running(), maker.state.record.copies()
    service = copy_of(target, maker.table)[0].name
    if service not in wanted:
        raise UnknownName("service", target, wanted)
    copies = chosen(target, wanted, maker.table)
    for name in copies:
        if name in running:
            continue
        if _by_hand(maker, name, running):
            raise ResourceInUse(
                f"{name} does not run in the stack: `bdemo run` has taken its place",
                hint="end it in its terminal, or choose another service",
            )
        raise ServiceFailed(f"{name} does not run", hint="see: bdemo status; start it with: bdemo up")
    return copies


def ready_copies(stack: Stack, maker: FaultMaker) -> set[str]:
    """The copies that are ready now, and so must be again after a fault.

    Raises NoStack; ServiceFailed when another one should be, and is not run by hand either.
    """
    ready, running = set(), maker.running()
    for status in stack.status():
        if status.state == "ready":
            ready.add(status.name)
        elif status.state not in HEALTHY and not _by_hand(maker, status.name, running):
            raise ServiceFailed(
                f"{status.name} is {status.state} already, before any fault", hint="fix it with: bdemo up"
            )
    return ready


def _by_hand(maker: FaultMaker, name: str, running: Collection[str]) -> bool:
    """Whether `bdemo run` has taken the place of a copy: one that runs in the stack holds the same lock."""
    return name not in running and maker.state.locks.is_held(name)


def all_ready(stack: Stack, copies: Collection[str]) -> bool:
    """Whether one look finds all of these ready. Raises NoStack."""
    return set(copies) <= {status.name for status in stack.status() if status.state == "ready"}


def watch_recovery(
    stack: Stack, victims: Collection[str], others: Collection[str], *, limit_s: float = RECOVERY_LIMIT_S
) -> Recovery:
    """Waits until the victims are ready, and all others too. Raises NoStack."""
    began = time.monotonic()
    victims_s: float | None = None
    while (now_s := time.monotonic() - began) < limit_s:
        ready = {status.name for status in stack.status() if status.state == "ready"}
        if victims_s is None and ready >= set(victims):
            victims_s = now_s
        if ready >= {*victims, *others}:
            return Recovery(victims_s, now_s)
        time.sleep(POLL_S)
    return Recovery(victims_s, None)
