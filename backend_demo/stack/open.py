"""The stack that settings, or a state directory, mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.errors import NoStack, ResourceInUse
from backend_demo.stack.base import Stack
from backend_demo.stack.state import StateDirectory

if TYPE_CHECKING:
    from backend_demo.settings import Settings


def open_stack(settings: Settings, *, any_port: bool = False) -> Stack:
    """The stack to be brought up, or running, with these settings.

    Raises ResourceInUse when one of the other kind runs in their state directory.
    """
    state = StateDirectory(settings.state_dir)
    if state.kind() not in (None, settings.stack):
        _check_gone(state)
    if settings.stack == "compose":
        from backend_demo.stack.compose import ComposeStack

        return ComposeStack(settings.state_dir, settings, any_port=any_port)
    from backend_demo.stack.embedded import EmbeddedStack

    return EmbeddedStack(settings.state_dir, settings, any_port=any_port)


def stack_in(state_dir: Path) -> Stack:
    """The stack of a state directory, to look at or to stop; quick, since it needs no settings.

    By its record; without one, the stack that has left something there.
    """
    state = StateDirectory(state_dir)
    if state.kind() == "compose" or (state.kind() is None and state.compose.is_dir()):
        from backend_demo.stack.compose import ComposeStack

        return ComposeStack(state_dir)
    from backend_demo.stack.embedded import EmbeddedStack

    return EmbeddedStack(state_dir)


def _check_gone(state: StateDirectory) -> None:
    """Forgets a record whose stack does not run any more, after a reboot. Raises ResourceInUse when it does."""
    try:
        stack_in(state.path).status()
    except NoStack:
        state.forget()
        return
    kind = state.kind()
    raise ResourceInUse(
        f"the {kind} stack runs in {state.path}",
        hint=f"stop it with bdemo down, or name it: --stack {kind}; a second stack needs another --state-dir",
    )
