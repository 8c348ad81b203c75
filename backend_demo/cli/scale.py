"""`bdemo scale` changes how many copies of a service run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render


@dataclass(frozen=True, kw_only=True)
class Document:
    """What `scale` did, as JSON: copies by their names, and the number of copies of each service named."""

    schema: Literal["bdemo.scale/1"] = "bdemo.scale/1"
    started: tuple[str, ...]
    stopped: tuple[str, ...]
    already_running: tuple[str, ...]
    copies: dict[str, int]


def scale(
    copies: Annotated[list[str], typer.Argument(metavar="SERVICE=COPIES...", help="The number of copies to run.")],
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Change how many copies of a service run.

    Collection, processing, aggregation and loader can have up to eight copies, one per partition. No reading is lost or
    counted twice. Copies are named processing-2, processing-3 and so on, and stay until `bdemo down`.

    \b
    Examples:
      $ bdemo scale processing=3
      $ bdemo scale processing=1 aggregation=2
    """
    from backend_demo.cli.progress import StartProgress
    from backend_demo.stack.open import stack_in

    wanted = options.copies(copies)
    with StartProgress() as progress:
        change = stack_in(options.state_directory(state_dir)).scale(wanted, progress.report)
    done = Document(
        started=change.started, stopped=change.stopped, already_running=change.already_running, copies=wanted
    )
    render.show(done, output, lambda done: _view(done, options.same_stack(state_dir)))


def _view(done: Document, here: str) -> render.View:
    """Nothing on stdout: these are messages."""
    if done.started or done.stopped:
        render.say(f"[green]scaled[/]: {_counted(done.copies)}")
        render.say(f"See them with: [bold]bdemo status{here}[/]")
    else:
        render.say(f"[green]already running[/]: {_counted(done.copies)}")
    return ()


def _counted(copies: Mapping[str, int]) -> str:
    """Services with their numbers of copies: `processing 3 copies, loader 1 copy`."""
    return ", ".join(f"{service} {count} {'copy' if count == 1 else 'copies'}" for service, count in copies.items())
