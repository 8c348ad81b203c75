"""Options that several commands share, and the settings made from them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend_demo.errors import UsageError

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.stack.state import MqttUser


def _folder(text: str) -> Path:
    """A directory that is named: the empty name would mean the working directory."""
    if not text:
        raise typer.BadParameter("the name of a directory is empty")
    return Path(text)


StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        help="The stack's directory.  [env: BDEMO_STATE_DIR]",
        show_default=False,
        parser=_folder,
        metavar="PATH",
    ),
]

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Another gateway than the stack's.", show_default=False),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="What that gateway wants to see.  [env: BDEMO_GATEWAY_TOKEN]",
        show_default=False,
    ),
]


class Output(StrEnum):
    """How data is printed."""

    table = "table"
    json = "json"


class StackKind(StrEnum):
    """The two stacks."""

    embedded = "embedded"
    compose = "compose"


OutputFormat = Annotated[Output, typer.Option("--output", "-o", help="How the result is printed.")]


def settings(**flags: Any) -> Settings:
    """The settings with these flags above all other sources."""
    from backend_demo.settings import load

    return load(**flags)


def state_directory(state_dir: Path | None) -> Path:
    """The state directory alone, where no other setting is needed: ten times as quick as all of them."""
    from backend_demo import places

    return state_dir or places.quick_state_dir() or settings().state_dir


def copies(words: Iterable[str]) -> dict[str, int]:
    """`processing=3` and the like, as service and number of copies. Raises UsageError."""
    found: dict[str, int] = {}
    for word in words:
        service, equals, count = word.partition("=")
        if not service or not equals:
            raise UsageError(f"{word!r} names no number of copies", hint="write it as SERVICE=COPIES: processing=3")
        if not re.fullmatch(r"-?[0-9]{1,9}", count, re.ASCII):
            raise UsageError(f"{word}: {count!r} is no number of copies", hint=f"write it as {service}=3")
        if service in found:
            raise UsageError(f"{service} is scaled twice", hint="give each service one number of copies")
        found[service] = int(count)
    return found


def same_stack(state_dir: Path | None) -> str:
    """What a suggested command needs to mean the same stack: nothing, or ` --state-dir DIR`, as rich markup."""
    from rich.markup import escape

    return escape(f" --state-dir {shlex.quote(str(state_dir))}") if state_dir else ""


def attached(state_dir: Path | None, *, mqtt: MqttUser = "sensor") -> Settings:
    """The settings of the stack that runs in the state directory. Raises NoStack."""
    from backend_demo.stack.state import StateDirectory

    base = settings(state_dir=state_dir)
    return StateDirectory(base.state_dir).attached(base, mqtt=mqtt)
