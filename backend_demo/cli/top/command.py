"""`bdemo top`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from backend_demo.cli import options
from backend_demo.errors import UsageError

if TYPE_CHECKING:
    from backend_demo.cli.top.source import StackSource
    from backend_demo.operations.observe.view import Overview


def top(
    once: Annotated[bool, typer.Option("--once", help="Print the state of the pipeline and end.")] = False,
    interval: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0.5, max=60, help="Time between updates; with --once, the time the rates cover."
        ),
    ] = 2.0,
    web: Annotated[bool, typer.Option("--web", help="Serve it to one browser on this machine, until Ctrl-C.")] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port of --web.", show_default="8010")] = None,
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Watch services, rates, lag, latencies, dead letters and newest readings.

    It reads the services' own metrics, on either stack: no Prometheus needed.

    Keys: r restarts the selected service, l shows its log, / filters sensors,
    space pauses, ? explains the rest.

    \b
    Examples:
      $ bdemo top
      $ bdemo top --once
      $ bdemo top --once -o json --interval 10 | jq '.services[] | {name, state, records_per_s}'
      $ bdemo top --web
    """
    from contextlib import closing

    if once and web:
        raise UsageError("--once cannot be combined with --web", hint="give one of them")
    if output is options.Output.json and not once:
        raise UsageError("--output json needs --once", hint="for scripts: bdemo top --once -o json")
    if port is not None and not web:
        raise UsageError("--port needs --web", hint=f"write: bdemo top --web --port {port}")
    directory = options.state_directory(state_dir)
    if not (once or web or _has_screen()):
        raise UsageError("bdemo top needs a terminal", hint="for scripts: bdemo top --once -o json")

    from backend_demo.cli.top.source import StackSource

    token = options.attached(directory).gateway_token
    with closing(StackSource(directory, token=token)) as source:
        if once:
            from backend_demo.cli.render import show
            from backend_demo.cli.top.once import result, view

            show(result(source.place, _overview(source, interval)), output, view)
        elif web:
            from backend_demo.cli.top.web import PORT, serve

            serve(directory, PORT if port is None else port, interval)
        else:
            from backend_demo.cli.top.app import Top

            Top(source, interval_s=interval).run()


def _has_screen() -> bool:
    """Whether there is a terminal that can be drawn on, or a browser behind --web."""
    if os.environ.get("TEXTUAL_DRIVER"):
        return True
    # textual draws on stderr
    terminal = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    return terminal and os.environ.get("TERM") != "dumb"


def _overview(source: StackSource, interval_s: float) -> Overview:
    import time

    from backend_demo.operations.observe.overview import overview

    before = source.scrape()
    begin = time.monotonic()
    seen = source.services()
    time.sleep(max(0.0, interval_s - (time.monotonic() - begin)))
    return overview(before, source.scrape(), seen, dead_letters_total=source.dead_letters())
