"""`bdemo backup` writes a stack into one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render


@dataclass(frozen=True, kw_only=True)
class Document:
    """The backup that was written, as JSON."""

    schema: Literal["bdemo.backup/1"] = "bdemo.backup/1"
    file: str
    size_bytes: int
    created: str
    files: int
    data_bytes: int
    """What the files take on the disk."""
    servers: dict[str, str]
    """The version of each server whose data it holds."""
    end_offsets: dict[str, list[int]] | None
    """Where each partition of each topic ends; null: the stack had been killed, and Kafka had not written it down."""
    stopped_s: float | None
    """How long the stack was stopped; null: it did not run."""


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write, such as stack.backup.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Write all that a stack holds into one file: tables, topics, offsets, users, passwords, certificates.

    A stack that runs is stopped for it and started again, which takes seconds; clients wait, and nothing is lost.
    Nobody else can read the file. Settings, logs and metrics are not in it. A compose stack cannot be backed up yet.

    \b
    Examples:
      $ bdemo backup monday.backup
      $ bdemo backup --force newest.backup -o json
    """
    from backend_demo.cli.steps import StepProgress
    from backend_demo.stack.backup import make
    from backend_demo.stack.state.directory import StateDirectory

    state = StateDirectory(options.state_directory(state_dir))
    with StepProgress() as steps:
        made = make.make(state, file, steps, replace=force)
    found = made.manifest
    done = Document(
        file=str(file),
        size_bytes=made.size_bytes,
        created=found.created,
        files=found.files,
        data_bytes=found.data_bytes,
        servers=found.servers,
        end_offsets=found.end_offsets,
        stopped_s=None if made.stopped_s is None else round(made.stopped_s, 3),
    )
    render.show(done, output, _view, problem=made.problem)


def _view(done: Document) -> render.View:
    yield f"{done.file}: {done.size_bytes / 1e6:,.1f} MB, of {done.files:,} files with {done.data_bytes / 1e6:,.1f} MB"
    render.say("it holds passwords and keys: keep it where nobody else can read it")
    if done.stopped_s is not None:
        render.say(f"the stack was stopped for {done.stopped_s:.1f} s")
