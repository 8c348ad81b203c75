"""`bdemo logs`."""

from __future__ import annotations

import itertools
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend_demo.cli import options, render

if TYPE_CHECKING:
    from backend_demo.stack.base import LogLine

COLORS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta", "bright_blue")

#: Number of lines that are shown first, unless --since is given.
NEWEST = 50


class Level(StrEnum):
    """Severity of an event."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"
    critical = "critical"


@dataclass(frozen=True)
class Line:
    """A line of a log as JSON. The keys of one of our own events follow these."""

    service: str
    time: str
    text: str
    level: str


def logs(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="SERVICE", help="Services to show; all by default.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new lines, until Ctrl-C.")] = False,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            metavar="N",
            min=0,
            show_default=f"{NEWEST}, or all with --since",
            help="Start with the newest N lines.",
        ),
    ] = None,
    level: Annotated[Level, typer.Option("--level", "-l", help="Lowest level to show.")] = Level.debug,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Show no older lines: 5m, 1h30m, 2026-11-24T10:00:00Z."),
    ] = None,
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Show the services' logs, merged by time.

    They are kept after `bdemo down`. With -o json, each line is a document.

    \b
    Examples:
      $ bdemo logs
      $ bdemo logs loader gateway -f
      $ bdemo logs --level warning --since 5m
      $ bdemo logs kafka -n 500
      $ bdemo logs processing-2
      $ bdemo logs -o json | jq -r 'select(.event == "ready") | .service'
    """
    from backend_demo.cli.times import point_in_time
    from backend_demo.stack.base import LogFilter
    from backend_demo.stack.open import stack_in

    wanted = LogFilter(level.value, 0.0 if since is None else point_in_time(since, time.time(), "--since"))
    count = lines if lines is not None else NEWEST if since is None else sys.maxsize
    stack = stack_in(options.state_directory(state_dir))
    found = stack.logs(services or [], lines=count, follow=follow, wanted=wanted)
    if output is options.Output.json:
        for line in found:
            render.print_line(_document(line))
    else:
        _show(found)


def _document(line: LogLine) -> dict[str, Any]:
    """One of our own events with all its keys; of another program's line, what is known."""
    from backend_demo.log_event import from_json, summary, time_text

    event = from_json(line.text)
    text = line.text if event is None else summary(event)
    first = asdict(Line(service=line.service, time=time_text(line.time), text=text, level=line.level))
    return {**first, **{name: value for name, value in (event or {}).items() if name not in first}}


def _show(lines: Iterable[LogLine]) -> None:
    from rich.text import Text

    from backend_demo.cli.console import Console
    from backend_demo.log_event import readable, time_text

    colors = itertools.cycle(COLORS)
    color: dict[str, str] = defaultdict(lambda: next(colors))
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        for parts in readable(line.text, today=time_text(time.time())[:10]):
            console.print(Text.assemble((f"{line.service:14}", color[line.service]), *parts), soft_wrap=True)
