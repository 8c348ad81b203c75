"""Where the rows of a query go: to stdout or into a file, in which form."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from rich.markup import escape

from backend_demo.cli.output import say
from backend_demo.errors import UsageError

Form = Literal["table", "json", "ndjson", "csv", "parquet"]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True)
class Target:
    """A form and the file that it is written to; None: stdout."""

    form: Form
    path: Path | None = None

    def tell(self, count: int | None) -> None:
        """Says what a file holds now; `count`: of rows, where that is known."""
        if self.path is not None:
            rows = "" if count is None else f"{count:,} row{'' if count == 1 else 's'}, "
            size = self.path.stat().st_size
            say(escape(f"{self.path}: {rows}{f'{size / 1e6:,.1f} MB' if size > 100_000 else f'{size:,} bytes'}"))

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Where to write; a file is there when the block ends well, whole, and is as before when it does not.

        Raises UsageError when it cannot be written.
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
            with file:
                yield file
            with self._failures():
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as problem:
            raise UsageError(
                f"cannot write {self.path}: {problem.strerror}", hint="name a file in a directory that you may write to"
            ) from problem


def target(text: str) -> Target:
    """The target that `--output` names: a form, or a file whose suffix is one. Raises UsageError."""
    if text == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal", hint="write it to a file: -o out.parquet")
    if text in FORMS:
        return Target(text)
    path = Path(text)
    suffix = path.suffix.lower().removeprefix(".")
    if suffix == "jsonl":
        suffix = "ndjson"
    for form in FORMS:
        if form == suffix != "table":
            return Target(form, path)
    raise UsageError(
        f"no form of output: {text[:60]!r}", hint=f"one of {', '.join(FORMS)}; or a file by its suffix: out.parquet"
    )
