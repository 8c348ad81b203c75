"""`bdemo secrets rotate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render


@dataclass(frozen=True, kw_only=True)
class Document:
    """What was replaced, as JSON; the new values are not in it."""

    schema: Literal["bdemo.secrets.rotate/1"] = "bdemo.secrets.rotate/1"
    rotated: tuple[str, ...]
    restarted: bool
    """Whether a running stack was stopped and started again for it."""


def rotate(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Replace only these; otherwise all.", show_default=False)
    ] = None,
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Replace passwords by new ones.

    A running stack is stopped and started again with them; no reading that it has acknowledged is lost. What uses a
    password that is replaced, such as a device that connects as `sensor`, must be given the new one.

    The password of PostgreSQL's superuser stays: only bdemo itself uses it. So do those of a compose stack, which its
    containers make.

    \b
    Examples:
      $ bdemo secrets rotate
      $ bdemo secrets rotate kafka-reader sensor
    """
    from backend_demo.cli.progress import StartProgress
    from backend_demo.stack import rotation
    from backend_demo.stack.state.directory import StateDirectory

    state = StateDirectory(options.state_directory(state_dir))
    with StartProgress() as progress:
        rotated, restarted = rotation.rotate(state, names or (), progress.report)
    render.show(Document(rotated=rotated, restarted=restarted), output, _view)


def _view(done: Document) -> render.View:
    """Nothing on stdout: these are messages."""
    render.say(f"new: {', '.join(done.rotated)}")
    if done.restarted:
        render.say("the stack runs with them")
    return ()
