"""Undoes what was done to processes, whatever becomes of this one."""

from __future__ import annotations

import subprocess
from types import TracebackType
from typing import Self

#: Waits until its input ends, then runs the command in its arguments with the words that it has read.
_SCRIPT = 'command=$#; while read -r word; do set -- "$@" "$word"; done; [ $# = $command ] || "$@"'


class Undo:
    """Runs a command, with the words that were noted, at the end of the block.

    A process of its own does it, so that it is done as well when this one is ended in the block, even by kill -9.
    """

    def __init__(self, *command: str) -> None:
        self._guard = subprocess.Popen(  # noqa: S603 - words, no shell
            ["/bin/sh", "-c", _SCRIPT, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal must not reach it
            text=True,
        )

    def note(self, word: str) -> None:
        """Adds a word; call it before you do what is to be undone."""
        assert self._guard.stdin is not None  # noqa: S101 - narrows a type
        self._guard.stdin.write(f"{word}\n")
        self._guard.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guard.communicate()
