"""Restores a backup into a state directory: all of it, or nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from backend_demo.errors import BackupInvalid, DiskFull, ResourceInUse, UsageError, cannot_write
from backend_demo.stack.backup import archive, kept
from backend_demo.stack.backup.manifest import Manifest
from backend_demo.stack.backup.steps import Steps
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.locks import LOCK_WAIT_S
from backend_demo.trust import check_owner


def check(state: StateDirectory, file: Path, steps: Steps) -> Manifest:
    """Reads a backup to its end and changes nothing. Raises UsageError, BackupInvalid, ConfigurationInvalid."""
    with _opened(file) as source:
        steps.step("checking the backup", file.stat().st_size)
        manifest = archive.read(source, kept.names(state), steps.advance)
    _check_servers(manifest)
    return manifest


def restore(state: StateDirectory, file: Path, steps: Steps, *, replace: bool = False) -> Manifest:
    """Restores a backup into a new or an empty directory, or with `replace` in place of a stack that does not run.

    The backup is read twice: nothing changes before all of it is found to be right, and what was there stays until all
    of the backup is on the disk beside it. Raises as `check`; ResourceInUse, DiskFull.
    """
    _check_target(state, replace=replace)
    manifest = check(state, file, steps)
    _check_room(state.path, manifest)
    is_new = not state.is_marked
    if not is_new:
        kept.embedded_stack(state).down()  # ends what a killed stack has left
    state.create(to_restore=True)
    try:
        with state.locks.hold("stack", wait_s=LOCK_WAIT_S):
            _check_target(state, replace=replace)
            try:
                _extract(state, file, steps)
                state.take_restored()
            except BaseException:
                if is_new:
                    state.wipe()
                    shutil.rmtree(state.sockets, ignore_errors=True)
                raise
    finally:
        if not state.is_marked:
            state.remove_empty()
    return manifest


def _extract(state: StateDirectory, file: Path, steps: Steps) -> None:
    """Makes the files of the backup in a folder of their own, or none."""
    steps.step("restoring", file.stat().st_size)
    state.check_wipe()
    killed = state.restoring.exists()  # perhaps while it was moved: the folder says so until all is done
    state.restoring.mkdir(mode=0o700, exist_ok=True)
    _empty(state.restoring)
    try:
        with _opened(file) as source:
            archive.read(source, kept.names(state), steps.advance, into=state.restoring)
        os.sync()
    except BaseException as problem:
        _empty(state.restoring)
        if not killed:
            state.restoring.rmdir()
        if isinstance(problem, OSError):
            raise cannot_write(state.path, problem) from problem
        raise


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_target(state: StateDirectory, *, replace: bool) -> None:
    """Raises UsageError or ConfigurationInvalid for a directory that is in use, or not ours; ResourceInUse."""
    stack = kept.embedded_stack(state)
    state.check_usable()
    if stack.supervisor.runs():
        raise ResourceInUse(
            f"a stack runs in {state.path}", hint="stop it with bdemo down, or name another directory with --state-dir"
        )
    if state.secrets_file.exists() and not replace:
        raise UsageError(
            f"there is a stack in {state.path}", hint="name another directory with --state-dir, or replace it: --force"
        )


def _check_servers(manifest: Manifest) -> None:
    """Raises BackupInvalid when a server of ours cannot go on with the data."""
    for name, version in manifest.servers.items():
        data = kept.DATA.get(name)
        if data is None or not data.goes_on_with(version):
            raise BackupInvalid(
                f"the backup holds data of {name} {version}, with which "
                f"{f'{name} {data.version}' if data else 'this bdemo'} cannot go on",
                hint=f"restore it with bdemo {manifest.bdemo}, which wrote it",
            )


def _check_room(path: Path, manifest: Manifest) -> None:
    """Raises DiskFull when the disk has no room for the data."""
    disk = next(place for place in (path, *path.parents) if place.exists())
    free, needed = shutil.disk_usage(disk).free, manifest.data_bytes
    if free < needed:
        text = f"the backup needs {needed / 1e6:,.1f} MB there, and {free / 1e6:,.1f} MB are free"
        raise DiskFull(OSError(errno.ENOSPC, text), path)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """A backup that is open. Raises UsageError; ConfigurationInvalid when it is a stranger's."""
    check_owner(file, hint="its data could run programs as you; if you trust it, make a copy of your own")
    if not file.is_file():
        why = "is not a file" if file.exists() else "does not exist"
        raise UsageError(f"{file} {why}", hint="name a file that bdemo backup has written")
    with file.open("rb") as source:
        yield source
