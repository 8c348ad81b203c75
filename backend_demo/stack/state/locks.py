"""Locks between processes, by files in a folder; the operating system releases them when their process ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from backend_demo.errors import ConfigurationInvalid, ResourceInUse

#: How long `up` and `down` wait for one another, seconds.
LOCK_WAIT_S = 15.0


class Locks:
    """The locks of one state directory, by name: `stack`, or a service that runs in a terminal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def hold(self, name: str, *, wait_s: float = 0.0) -> Iterator[None]:
        """Holds a lock for this process. Raises ResourceInUse when another one still has it after `wait_s`."""
        path = self._folder / name
        deadline = time.monotonic() + wait_s
        while (file := _locked(path)) is None:
            if time.monotonic() >= deadline:
                owner = _first_line(path)
                raise ResourceInUse(
                    f"{name} of {self._folder.parent} is held by {f'process {owner}' if owner else 'another process'}",
                    hint="wait for it, or stop that process",
                )
            time.sleep(0.1)
        with file:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def is_held(self, name: str) -> bool:
        """Whether a process holds this lock."""
        path = self._folder / name
        if not path.exists():
            return False
        file = _locked(path)
        if file is None:
            return True
        with file:
            path.unlink(missing_ok=True)
        return False

    def remove_dead(self) -> None:
        """Removes the lock files of processes that were killed."""
        for path in self._folder.glob("*"):
            file = _locked(path)
            if file is not None:
                with file:
                    path.unlink(missing_ok=True)


def _locked(path: Path) -> IO[str] | None:
    """The lock file, locked; None when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        try:
            file = open(path, "a+", opener=_no_link)  # noqa: SIM115 - the caller closes it, and with it the lock
        except OSError as problem:
            if problem.errno != errno.ELOOP:
                raise
            raise ConfigurationInvalid(f"{path} is a link, where a lock belongs", hint="remove it") from problem
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        # its last holder may have removed the file since: a lock on a file without a name excludes nobody
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _first_line(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return ""
