"""The ledger file: what the sensors sent and what the broker acknowledged, whole even after kill -9."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from backend_demo.domain.reading import Reading
from backend_demo.domain.verdict import Entry, EntryState, decode_entry
from backend_demo.errors import BdemoError, UsageError

#: How each line begins, and more than the longest line.
_BEGIN = b'{"sensor": '
_LINE_MAX = 4096


class Ledger:
    """Appends lines to a ledger. Each `write` has reached the operating system when it returns.

    One system call a call, not one a line: 0.1 us instead of 1.5 us a line when a hundred come together. A kill can cut
    the last line only; its reading was not published yet, or stays `sent`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # read and write: an earlier run may have been killed in the middle of its last line
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            if stat.S_ISREG(os.fstat(self._file).st_mode):
                _cut_after_last_line(self._file, path)
        except OSError as problem:
            raise UsageError(
                f"cannot write the ledger {path}: {problem.strerror or problem}", hint="choose another file"
            ) from problem

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def write(self, state: EntryState, readings: Iterable[Reading]) -> None:
        """Adds one line a reading. Raises BdemoError when the disk is full."""
        lines = "".join(
            f'{{"sensor": {reading.sensor}, "timestamp": {reading.timestamp!r}, "value": {reading.value!r}, '
            f'"state": "{state}"}}\n'
            for reading in readings
        )
        left = memoryview(lines.encode())
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as problem:
            raise BdemoError(
                f"cannot write the ledger {self._path}: {problem.strerror or problem}",
                hint="without a ledger line no reading is sent: free some space, or choose another file",
            ) from problem


def read(path: Path) -> Iterator[Entry]:
    """The lines of a ledger, oldest first; a last line that a kill has cut is left out. Raises UsageError."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    yield _entry(path, number, line)
    except OSError as problem:
        raise UsageError(
            f"cannot read the ledger {path}: {problem.strerror or problem}",
            hint="write one with: bdemo simulate --ledger FILE",
        ) from problem


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        return decode_entry(line)
    except ValueError as problem:  # of which msgspec's errors are
        raise UsageError(
            f"{path}, line {number} is not a line of a ledger: {problem}",
            hint='a line reads {"sensor": 1, "timestamp": 1700000000.5, "value": 21.5, "state": "sent"}',
        ) from problem


def _cut_after_last_line(file: int, path: Path) -> None:
    """Removes the last line when it is not whole. Raises UsageError when the file is not a ledger, and leaves it."""
    size = os.fstat(file).st_size
    begin = max(0, size - _LINE_MAX)
    tail = os.pread(file, size - begin, begin)
    end_of_lines = tail.rfind(b"\n") + 1
    cut = tail[end_of_lines:]
    if not cut:
        return
    if not (cut.startswith(_BEGIN) or _BEGIN.startswith(cut)):
        raise UsageError(f"{path} exists and is not a ledger", hint="choose another file")
    os.ftruncate(file, begin + end_of_lines)
