"""`bdemo mqtt user rm`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render
from backend_demo.cli.mqtt.registry import registry


@dataclass(frozen=True, kw_only=True)
class Document:
    """The removed user as JSON."""

    schema: Literal["bdemo.mqtt.user.rm/1"] = "bdemo.mqtt.user.rm/1"
    user: str


def rm(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user to remove.")],
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Remove an MQTT user.

    Its connections are closed within about a second. The users of the stack itself cannot be removed.

    \b
    Examples:
      $ bdemo mqtt user rm kitchen
    """
    registry(state_dir).remove(name)
    render.show(Document(user=name), output, _view)


def _view(removed: Document) -> render.View:
    """Nothing on stdout: this is a message."""
    render.say(f"[green]removed[/]: {removed.user}")
    return ()
