"""The stack that settings, or a state directory, mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.errors import ConfigurationInvalid
from backend_demo.stack.base import Stack
from backend_demo.stack.embedded import EmbeddedStack

if TYPE_CHECKING:
    from backend_demo.settings import Settings


def open_stack(settings: Settings, *, any_port: bool = False) -> Stack:
    """The stack to be brought up, or running, with these settings. Raises ConfigurationInvalid."""
    if settings.stack != "embedded":
        raise ConfigurationInvalid(
            f"this version has no stack {settings.stack!r}", hint="leave BDEMO_STACK out, or set it to embedded"
        )
    return EmbeddedStack(settings.state_dir, settings, any_port=any_port)


def stack_in(state_dir: Path) -> Stack:
    """The stack of a state directory, to look at or to stop; quick, since it needs no settings."""
    return EmbeddedStack(state_dir)
