"""`bdemo down` stops the stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render


@dataclass(frozen=True, kw_only=True)
class Document:
    """What `down` did, as JSON."""

    schema: Literal["bdemo.down/1"] = "bdemo.down/1"
    state_dir: str
    was_running: bool
    wiped: bool


def down(
    state_dir: options.StateDir = None,
    wipe: Annotated[bool, typer.Option("--wipe", help="Also delete the data of the stack.")] = False,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Stop the stack; its data is kept.

    Succeeds when nothing runs. Also ends processes that a killed stack has left behind.

    \b
    Examples:
      $ bdemo down
      $ bdemo down --wipe
    """
    from backend_demo.stack.open import stack_in
    from backend_demo.stack.state.directory import StateDirectory

    folder = options.state_directory(state_dir)
    existed = folder.exists()
    if wipe:
        StateDirectory(folder).check_marked()
    ran = stack_in(folder).down(wipe=wipe)
    done = Document(state_dir=str(folder), was_running=ran, wiped=wipe and existed)
    render.show(done, output, _view)


def _view(done: Document) -> render.View:
    """Nothing on stdout: these are messages."""
    from rich.markup import escape

    render.say("the stack is down" if done.was_running else f"nothing was running in {escape(done.state_dir)}")
    if done.wiped:
        render.say("its data has been deleted")
    return ()
