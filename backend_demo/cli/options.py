"""Options that several commands share, and the settings made from them."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.stack.state import MqttUser

StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", help="The stack's directory.  [env: BDEMO_STATE_DIR]", show_default=False),
]


class Output(StrEnum):
    """How data is printed."""

    table = "table"
    json = "json"


OutputFormat = Annotated[Output, typer.Option("--output", "-o", help="How the result is printed.")]


def settings(**flags: Any) -> Settings:
    """The settings with these flags above all other sources."""
    from backend_demo.settings import load

    return load(**flags)


def state_directory(state_dir: Path | None) -> Path:
    """The state directory alone, where no other setting is needed: ten times as quick as all of them."""
    from backend_demo import places

    return state_dir or places.quick_state_dir() or settings().state_dir


def same_stack(state_dir: Path | None) -> str:
    """What a suggested command needs to mean the same stack: nothing, or ` --state-dir DIR`, as rich markup."""
    from rich.markup import escape

    return escape(f" --state-dir {shlex.quote(str(state_dir))}") if state_dir else ""


def attached(state_dir: Path | None, *, mqtt: MqttUser = "sensor") -> Settings:
    """The settings of the stack that runs in the state directory. Raises NoStack."""
    from backend_demo.stack.state import StateDirectory

    base = settings(state_dir=state_dir)
    return StateDirectory(base.state_dir).attached(base, mqtt=mqtt)
