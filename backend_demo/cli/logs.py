"""`bdemo logs`."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from backend_demo.cli import options

if TYPE_CHECKING:
    from backend_demo.stack.base import LogLine

COLORS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta", "bright_blue")

#: Lines to begin with, unless a time to begin with is given.
NEWEST = 50


class Level(StrEnum):
    """How serious an event is."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"
    critical = "critical"


def logs(
    services: Annotated[list[str] | None, typer.Argument(metavar="SERVICE", help="All when none is named.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            min=0,
            show_default=False,
            help=f"Begin with so many of the newest lines: {NEWEST}, or with --since all.",
        ),
    ] = None,
    level: Annotated[Level, typer.Option("--level", "-l", help="Of this level or above.")] = Level.debug,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Not older: 5m, 1h30m, 2026-11-24T10:00:00Z.")
    ] = None,
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Show the services' logs, merged by time.

    They stay after `bdemo down`.

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

    wanted = LogFilter(level.value, 0.0 if since is None else point_in_time(since, time.time()))
    count = lines if lines is not None else NEWEST if since is None else sys.maxsize
    stack = stack_in(options.state_directory(state_dir))
    found = stack.logs(services or [], lines=count, follow=follow, wanted=wanted)
    if output is options.Output.json:
        _show_json(found)
    else:
        _show(found)


def _show_json(lines: Iterable[LogLine]) -> None:
    """A document a line: an event with all its keys, of other programs' lines what is known."""
    from backend_demo.log_event import from_json, summary, time_text

    for line in lines:
        event = from_json(line.text)
        text = line.text if event is None else summary(event)
        first = {"service": line.service, "time": time_text(line.time), "text": text, "level": line.level}
        document = {**first, **{name: value for name, value in (event or {}).items() if name not in first}}
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def _show(lines: Iterable[LogLine]) -> None:
    from rich.console import Console
    from rich.text import Text

    from backend_demo.log_event import readable, time_text

    colors = itertools.cycle(COLORS)
    color: dict[str, str] = defaultdict(lambda: next(colors))
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        for parts in readable(line.text, today=time_text(time.time())[:10]):
            console.print(Text.assemble((f"{line.service:14}", color[line.service]), *parts), soft_wrap=True)
