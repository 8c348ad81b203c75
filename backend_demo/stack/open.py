"""Finds the stack that settings or a state directory mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.errors import NoStack, ResourceInUse
from backend_demo.stack.base import Stack
from backend_demo.stack.faults import FaultMaker
from backend_demo.stack.state.directory import StateDirectory

if TYPE_CHECKING:
    from backend_demo.settings import Settings


def open_stack(settings: Settings, *, any_port: bool = False) -> Stack:
    """The stack of these settings, running or not.

    Raises ResourceInUse when a stack of the other kind runs in their state directory.
    """
    state = StateDirectory(settings.state_dir)
    state.check_owner()
    if state.record.kind() not in (None, settings.stack):
        _check_gone(state)
    if settings.stack == "compose":
        from backend_demo.stack.compose.stack import ComposeStack

        return ComposeStack(settings.state_dir, settings, any_port=any_port)
    from backend_demo.stack.embedded.stack import EmbeddedStack

    return EmbeddedStack(settings.state_dir, settings, any_port=any_port)


def stack_in(state_dir: Path) -> Stack:
    """The stack of a state directory, to look at or to stop it; quick, since it reads no settings.

    The record says which kind it is; without a record, the files there do.
    """
    state = StateDirectory(state_dir)
    state.check_owner()
    if state.record.kind() == "compose" or (state.record.kind() is None and state.compose.is_dir()):
        from backend_demo.stack.compose.stack import ComposeStack

        return ComposeStack(state_dir)
    from backend_demo.stack.embedded.stack import EmbeddedStack

    return EmbeddedStack(state_dir)


def faults_in(state_dir: Path) -> FaultMaker:
    """What does faults to the stack of a state directory. Raises NoStack when there is no record of one."""
    state = StateDirectory(state_dir)
    state.check_owner()
    if state.record.settings()["stack"] == "compose":
        from backend_demo.stack.compose.faults import ComposeFaults

        return ComposeFaults(state)
    from backend_demo.stack.embedded.faults import EmbeddedFaults

    return EmbeddedFaults(state)


def _check_gone(state: StateDirectory) -> None:
    """Deletes the record of a stack that ended without `down`, as in a reboot. Raises ResourceInUse when it runs."""
    try:
        stack_in(state.path).status()
    except NoStack:
        state.record.delete()
        return
    kind = state.record.kind()
    raise ResourceInUse(
        f"the {kind} stack runs in {state.path}",
        hint=f"stop it with bdemo down, or use --stack {kind}; a second stack needs another --state-dir",
    )
