"""Where the rows of a query go, and in which format: to stdout or into a file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, get_args

from backend_demo.errors import UsageError, cannot_write
from backend_demo.text import escaped

if TYPE_CHECKING:
    from backend_demo.cli.query.rows import RowSet

RowFormat = Literal["table", "json", "ndjson", "csv", "parquet"]
FORMATS: tuple[RowFormat, ...] = get_args(RowFormat)


@dataclass(frozen=True)
class Target:
    """A format, and the file that is written; None: stdout."""

    format: RowFormat
    path: Path | None = None

    def write(self, rows: RowSet) -> int:
        """Writes rows for programs and returns their number. Raises UsageError, DiskFull."""
        from backend_demo.cli.query.rows import write

        with self.open() as out:
            count = write(rows, self.format, out)
        self._report(count)
        return count

    def copy(self, pieces: Iterable[bytes]) -> int | None:
        """Writes what the gateway has written in this format; the number of rows, None where it is not known."""
        lines = 0
        for_people = self.path is None and sys.stdout.isatty()
        with self.open() as out:
            for piece in pieces:
                out.write(_for_terminal(piece) if for_people else piece)
                lines += piece.count(b"\n")
        count = {"csv": lines - 1, "ndjson": lines}.get(self.format)
        self._report(count)
        return count

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Where to write; when the block ends well the file is there, complete, else it is as before.

        Raises UsageError, DiskFull.
        """
        if self.path is None:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
            return
        path = Path(os.path.realpath(self.path))
        if path.exists() and not path.is_file():  # a named pipe, say: nothing can take its place
            with self._failures(), path.open("wb") as file:
                yield file
            return
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        with self._failures():
            file = part.open("xb")
        try:
            with self._failures(), file:
                yield file
            with self._failures():
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _report(self, count: int | None) -> None:
        """Says what the file holds now."""
        if self.path is None:
            return
        from rich.markup import escape

        from backend_demo.cli.render import say

        rows = "" if count is None else f"{count:,} row{'' if count == 1 else 's'}, "
        size = self.path.stat().st_size
        say(escape(f"{self.path}: {rows}{f'{size / 1e6:,.1f} MB' if size > 100_000 else f'{size:,} bytes'}"))

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as problem:
            raise cannot_write(self.path, problem) from problem


def _for_terminal(piece: bytes) -> bytes:
    """Rows of numbers, as a gateway wrote them; were there anything else, it could not steer the terminal."""
    text = piece.decode("ascii", "backslashreplace").replace("\r", "")
    return escaped(text, keep="\n").encode()


def parse_target(text: str) -> Target:
    """The target that `--output` names: a format, or a file whose suffix is one. Raises UsageError."""
    if text == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet cannot be printed on a terminal", hint="write it to a file: -o out.parquet")
    if text in FORMATS:
        return Target(text)
    path = Path(text)
    suffix = path.suffix.lower().removeprefix(".")
    if suffix == "jsonl":
        suffix = "ndjson"
    for row_format in FORMATS:
        if row_format == suffix != "table":
            return Target(row_format, path)
    raise UsageError(
        f"unknown output format in --output: {text[:60]!r}",
        hint=f"choose from {', '.join(FORMATS)}, or name a file with one of these suffixes: out.parquet",
    )
