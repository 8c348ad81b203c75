"""`bdemo logs`."""

from __future__ import annotations

import itertools
import json
import sys
from collections import defaultdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from backend_demo.cli import options

COLORS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta", "bright_blue")


def logs(
    services: Annotated[list[str] | None, typer.Argument(metavar="SERVICE", help="All when none is named.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Begin with so many of the newest lines.")] = 50,
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Show the services' logs, merged by time.

    They stay after `bdemo down`.

    \b
    Examples:
      $ bdemo logs
      $ bdemo logs loader gateway -f
      $ bdemo logs kafka -n 500
      $ bdemo logs processing-2
    """
    from rich.console import Console
    from rich.text import Text

    from backend_demo.stack.open import stack_in

    colors = itertools.cycle(COLORS)
    color: dict[str, str] = defaultdict(lambda: next(colors))
    console = Console(highlight=False, soft_wrap=True)
    for line in stack_in(options.state_directory(state_dir)).logs(services or [], lines=lines, follow=follow):
        if output is options.Output.json:
            at = datetime.fromtimestamp(line.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            document = {"service": line.service, "time": at, "text": line.text}
            sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            console.print(Text.assemble((f"{line.service:14}", color[line.service]), line.text), soft_wrap=True)
