"""`bdemo top`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from backend_demo.cli import options
from backend_demo.errors import UsageError

if TYPE_CHECKING:
    from backend_demo.cli.top_source import StackSource
    from backend_demo.operations.overview import Overview

SCHEMA = "bdemo.top/1"


def top(
    once: Annotated[bool, typer.Option("--once", help="Print what there is and end.")] = False,
    interval: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.5, max=60, help="Time between two looks; with --once, of the rates."),
    ] = 2.0,
    web: Annotated[bool, typer.Option("--web", help="Serve it to a browser on this machine, until Ctrl-C.")] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port of --web.", show_default="8010")] = None,
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Watch services, rates, lag, latencies, dead letters and newest readings.

    Straight from the services' metrics, on either stack: no Prometheus needed.

    Keys: r restarts the selected service, l shows its log, / filters sensors, space pauses, ? explains the rest.

    \b
    Examples:
      $ bdemo top
      $ bdemo top --once
      $ bdemo top --once -o json --interval 10 | jq '.services[] | {name, state, records_per_s}'
      $ bdemo top --web
    """
    from contextlib import closing

    if once and web:
        raise UsageError("--once and --web exclude each other", hint="give one of them")
    if output is options.Output.json and not once:
        raise UsageError("a screen is no JSON", hint="for scripts: bdemo top --once -o json")
    if port is not None and not web:
        raise UsageError("--port is the port of --web", hint="bdemo top --web --port PORT")
    directory = options.state_directory(state_dir)
    if not (once or web or _has_screen()):
        raise UsageError("bdemo top needs a terminal", hint="for scripts: bdemo top --once -o json")

    from backend_demo.cli.top_source import StackSource

    token = options.settings(state_dir=directory).gateway_token
    with closing(StackSource(directory, token=token)) as source:
        if once:
            _print(_look(source, interval), source, output)
        elif web:
            from backend_demo.cli.top_web import PORT, serve

            serve(directory, PORT if port is None else port, interval)
        else:
            from backend_demo.cli.top_app import Top

            Top(source, interval_s=interval).run()


def _has_screen() -> bool:
    """Whether there is a terminal that can be drawn on, or a browser behind --web."""
    if os.environ.get("TEXTUAL_DRIVER"):
        return True
    # textual draws on stderr
    terminal = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    return terminal and os.environ.get("TERM") != "dumb"


def _look(source: StackSource, interval_s: float) -> Overview:
    import time

    from backend_demo.operations.overview import overview

    before = source.scrape()
    begin = time.monotonic()
    seen = source.services()
    time.sleep(max(0.0, interval_s - (time.monotonic() - begin)))
    return overview(before, source.scrape(), seen)


def _print(view: Overview, source: StackSource, output: options.Output) -> None:
    if output is options.Output.json:
        from dataclasses import asdict

        from backend_demo.cli.output import show_json

        show_json({"schema": SCHEMA, "stack": source.place, "healthy": view.healthy, **asdict(view)})
    else:
        from backend_demo.cli.top_show import print_tables

        print_tables(view)
