"""Makes a backup: a stack that runs is stopped for it, in order, and started again."""

from __future__ import annotations

import contextlib
import datetime
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from backend_demo import __version__
from backend_demo.errors import BdemoError, NoStack, ResourceInUse, UsageError, cannot_write
from backend_demo.stack.backup import archive, kept
from backend_demo.stack.backup.manifest import Manifest
from backend_demo.stack.backup.steps import Steps
from backend_demo.stack.embedded.stack import EmbeddedStack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.locks import LOCK_WAIT_S

if TYPE_CHECKING:
    from backend_demo.settings import Settings


@dataclass(frozen=True)
class BackupMade:
    """A backup that is on the disk."""

    manifest: Manifest
    size_bytes: int
    stopped_s: float | None
    """How long the stack was stopped; None: it did not run."""
    problem: BdemoError | None
    """Why the stack does not run again."""


def make(state: StateDirectory, file: Path, steps: Steps, *, replace: bool = False) -> BackupMade:
    """Writes a backup (0600), whole or not at all. A file that is there stays, unless `replace`.

    Nothing runs meanwhile, so that everything is as it was at one moment: the tables with the loader's fence, the
    topics with the offsets of their consumers.

    Raises NoStack, UsageError, DiskFull, ResourceInUse, ConfigurationInvalid.
    """
    stack = kept.embedded_stack(state)
    kept.check_there(state)
    if file.resolve().is_relative_to(state.path):
        raise UsageError(f"{file} is in the state directory", hint="name a file elsewhere, or both are lost together")
    # two at once: the second one would find the stack stopped, and keep the first one from starting it again
    with state.locks.hold("backup"), _new_file(file, replace=replace) as (output, part):
        begin, before = time.monotonic(), _as_it_runs(state)
        ran = stack.supervisor.runs()
        try:
            if ran:
                steps.step("stopping the stack")
            ran = stack.down() or ran
            with state.locks.hold("stack", wait_s=LOCK_WAIT_S):
                if stack.supervisor.runs():
                    raise ResourceInUse(f"the stack in {state.path} was started meanwhile", hint="run the backup again")
                manifest = _write(state, output, steps)
                output.flush()
                os.fsync(output.fileno())
                part.rename(file)
        except BaseException as failure:
            if ran and (problem := _start_again(state, before, steps)):
                raise problem from failure
            raise
        problem = _start_again(state, before, steps) if ran else None
        return BackupMade(manifest, file.stat().st_size, time.monotonic() - begin if ran else None, problem)


def _as_it_runs(state: StateDirectory) -> tuple[Settings, Mapping[str, int]] | None:
    """The settings and copies with which to start a stack again; None without a record of them."""
    with contextlib.suppress(NoStack):
        return state.started_with(), state.record.copies()
    return None


def _start_again(
    state: StateDirectory, before: tuple[Settings, Mapping[str, int]] | None, steps: Steps
) -> BdemoError | None:
    """Starts a stack as it ran before; why it does not run, if it does not."""
    settings, copies = before or (None, {})
    try:
        with steps.starting() as report:
            EmbeddedStack(state.path, settings).up(copies, report, scale=copies)
    except BdemoError as problem:
        problem.message = f"the stack did not start again: {problem.message}"
        return problem
    return None


def _write(state: StateDirectory, output: IO[bytes], steps: Steps) -> Manifest:
    """Writes the archive of a stack that does not run."""
    members = list(archive.members(state.path, kept.names(state)))
    sizes = [member.size for member in members if member.size is not None]
    on_disk = sum(member.on_disk for member in members)
    manifest = Manifest(
        bdemo=__version__,
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        servers={name: data.version for name, data in kept.DATA.items() if (state.path / data.folder).exists()},
        files=len(sizes),
        data_bytes=on_disk,
        end_offsets=kept.end_offsets(state),
    )
    steps.step("writing the backup", sum(sizes))
    archive.write(output, manifest, state.path, members, steps.advance)
    return manifest


@contextlib.contextmanager
def _new_file(file: Path, *, replace: bool) -> Iterator[tuple[IO[bytes], Path]]:
    """A file beside `file` with its path, to be given that name when it is whole; otherwise it is removed."""
    if os.path.lexists(file) and not (replace and file.is_file() and not file.is_symlink()):
        raise UsageError(f"{file} exists", hint="name another file; --force replaces a file")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".part", dir=file.parent)  # 0600
    except OSError as problem:
        raise cannot_write(file, problem) from problem
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as output:
            yield output, part
    except OSError as problem:
        if problem.filename is not None:  # it is about another file
            raise
        raise cannot_write(file, problem) from problem
    finally:
        part.unlink(missing_ok=True)
