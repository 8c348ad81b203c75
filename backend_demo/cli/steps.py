"""Shows the steps of a long operation: a bar on a terminal, a line for each step without one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, DownloadColumn, Progress, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from backend_demo.cli import render
from backend_demo.cli.console import Console
from backend_demo.cli.progress import StartProgress
from backend_demo.stack.base import Report


class _Size(DownloadColumn):
    """How much is done of how much, where that is known."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class StepProgress:
    """Shows one step at a time, on stderr."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self._terminal = console.is_terminal
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), _Size(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def step(self, what: str, total: int | None = None) -> None:
        """Begins a step; `total` is how many bytes it has, if that is known."""
        self._end()
        if self._terminal:
            self._bar.add_task(what, total=total)
            self._bar.start()
        else:
            render.say(what)

    def advance(self, count: int) -> None:
        """Takes how many bytes more of the step are done."""
        for task in self._bar.task_ids:
            self._bar.advance(task, count)

    @contextlib.contextmanager
    def starting(self) -> Iterator[Report]:
        """Shows services on their way up, by the report that this gives."""
        self._end()
        with StartProgress() as progress:
            yield progress.report

    def _end(self) -> None:
        """Ends the step before; its bar disappears."""
        if self._bar.live.is_started:
            self._bar.stop()
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
