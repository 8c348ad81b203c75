"""What is shown while a chaos run goes on: each event as a line, and on a terminal a bar below them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from backend_demo.cli import render

if TYPE_CHECKING:
    from backend_demo.simulator.plan import SimulationProgress

#: Takes the time of an event, seconds after the start, and what happened; from any thread.
ReportEvent = Callable[[float, str], None]
OnProgress = Callable[["SimulationProgress"], None]


def line(at_s: float, what: str) -> str:
    """An event as a line."""
    return f"{at_s:7.1f} s  {what}"


@contextlib.contextmanager
def shown(duration_s: float) -> Iterator[tuple[ReportEvent, OnProgress]]:
    """What shows events, and the progress of the load, on stderr."""
    if not sys.stderr.isatty():
        yield (lambda at_s, what: render.say_quickly(line(at_s, what))), (lambda progress: None)
        return
    from rich.progress import BarColumn, Progress, TextColumn

    from backend_demo.cli.console import Console

    columns = (
        TextColumn("{task.fields[state]}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:.0f} of {task.total:.0f} s, {task.fields[figures]}"),
    )
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=duration_s, state="publishing", figures="")

        def report(at_s: float, what: str) -> None:
            bar.console.print(line(at_s, what), markup=False)

        def on_progress(progress: SimulationProgress) -> None:
            figures = f"{progress.sent:,} sent, {progress.acknowledged:,} acknowledged"
            bar.update(task, completed=min(progress.seconds, duration_s), state=_state(progress), figures=figures)

        def _state(progress: SimulationProgress) -> str:
            if not progress.connected:
                return "broker away"
            if progress.flushing:
                return "waiting for acknowledgements"
            return "publishing" if progress.seconds < duration_s else "recovering"

        yield report, on_progress
