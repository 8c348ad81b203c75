"""`bdemo restore` makes a stack again from a backup."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render


@dataclass(frozen=True, kw_only=True)
class Document:
    """What was restored, as JSON; or checked only."""

    schema: Literal["bdemo.restore/1"] = "bdemo.restore/1"
    file: str
    state_dir: str
    restored: bool
    """False: the backup was checked only."""
    created: str
    bdemo: str
    """The version that wrote the backup."""
    files: int
    data_bytes: int
    servers: dict[str, str]
    """The version of each server whose data it holds."""
    end_offsets: dict[str, list[int]] | None
    """Where each partition of each topic ends; null: the stack had been killed, and Kafka had not written it down."""


def restore(
    file: Annotated[Path, typer.Argument(help="A file that bdemo backup has written.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the stack that is there, with all its data.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check the backup.")] = False,
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Make a stack again from a backup; bdemo up starts it, and it goes on from there.

    All of the backup is read and checked before anything changes. It goes into a new or an empty directory. With
    --force it takes the place of a stack that does not run, whose data stay until all of the backup is there.

    Restore only what you trust: the data of PostgreSQL can name programs for it to run.

    \b
    Examples:
      $ bdemo restore monday.backup
      $ bdemo restore monday.backup --state-dir /tmp/monday && bdemo up --any-port --state-dir /tmp/monday
      $ bdemo restore monday.backup --check
    """
    from backend_demo.cli.steps import StepProgress
    from backend_demo.stack.backup import restore as restoring
    from backend_demo.stack.state.directory import StateDirectory

    state = StateDirectory(options.state_directory(state_dir))
    with StepProgress() as steps:
        found = restoring.check(state, file, steps) if check else restoring.restore(state, file, steps, replace=force)
    done = Document(
        file=str(file),
        state_dir=str(state.path),
        restored=not check,
        created=found.created,
        bdemo=found.bdemo,
        files=found.files,
        data_bytes=found.data_bytes,
        servers=found.servers,
        end_offsets=found.end_offsets,
    )
    render.show(done, output, _view)
    if done.restored and output is options.Output.table:
        render.say(f"start it: [bold]bdemo up{options.same_stack(state_dir)}[/]")


def _view(done: Document) -> render.View:
    """Nothing on stdout but what a check finds: the rest are messages."""
    from rich.markup import escape

    made = f"of {done.created}, by bdemo {done.bdemo}: {done.files:,} files, {done.data_bytes / 1e6:,.1f} MB"
    if done.restored:
        render.say(f"restored in {escape(done.state_dir)}\n{escape(made)}")
    else:
        yield f"{done.file} is whole"
        yield made
