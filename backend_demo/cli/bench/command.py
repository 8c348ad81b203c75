"""`bdemo bench`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

from backend_demo.cli import options
from backend_demo.errors import UsageError


class Measurement(StrEnum):
    """What can be measured."""

    drain = "drain"
    mqtt = "mqtt"
    latency = "latency"


def bench(
    parts: Annotated[
        list[Measurement] | None,
        typer.Argument(metavar="[PART]...", help="drain, mqtt, latency.  [default: all of them]"),
    ] = None,
    readings: Annotated[int, typer.Option(help="drain: readings in all.")] = 500_000,
    sensors: Annotated[int, typer.Option(help="drain, mqtt: number of sensors.")] = 100,
    late: Annotated[float, typer.Option(help="drain: fraction sent after newer readings.")] = 0.0,
    refused: Annotated[float, typer.Option(help="drain: fraction that must become dead letters.")] = 0.0,
    skew: Annotated[bool, typer.Option("--skew", help="drain: one sensor sends half of all readings.")] = False,
    batch: Annotated[int, typer.Option(help="mqtt: readings per message.")] = 1,
    rate: Annotated[
        list[float] | None,
        typer.Option(help="latency: readings per second; may be repeated.", show_default="50, 1000"),
    ] = None,
    duration: Annotated[
        str, typer.Option(metavar="DURATION", help="mqtt, latency: how long readings are sent, at each rate.")
    ] = "20s",
    repeat: Annotated[int, typer.Option(help="Runs of each part; the median run counts.")] = 1,
    against: Annotated[
        Literal["stock"] | None,
        typer.Option(help="drain: compare with the same pipeline on stock Faust.", show_default=False),
    ] = None,
    running: Annotated[
        bool, typer.Option("--running", help="Measure the running stack instead of a temporary one.")
    ] = False,
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Measure throughput, latency, CPU time and memory.

    It runs on a temporary stack of its own, on free ports. drain: from a full
    sensor-data to both tables. mqtt: from publish to row. latency: from Kafka
    to row, at given rates. Every row and every average is checked: if one is
    wrong, there is no result, and the exit code is 8.

    With --running, the load goes to the running stack: drain and latency only,
    with sensors of their own whose rows are deleted afterwards. During a drain,
    the stack's services are stopped for a moment.

    \b
    Examples:
      $ bdemo bench
      $ bdemo bench drain --repeat 3 --against stock
      $ bdemo bench drain --late 0.02 --refused 0.005 --skew
      $ bdemo bench mqtt --batch 50 --duration 60s
      $ bdemo bench latency --rate 50 --rate 1000 -o json
      $ bdemo bench latency --running
    """
    import os

    from backend_demo.cli.bench.plan import BenchPlan
    from backend_demo.cli.bench.result import result
    from backend_demo.cli.bench.run import measure
    from backend_demo.cli.bench.tables import view
    from backend_demo.cli.render import show
    from backend_demo.cli.times import duration_s
    from backend_demo.operations.bench.readings import DrainLoad

    # without names, all parts that the stack allows
    wanted = parts or [part for part in Measurement if not (running and part is Measurement.mqtt)]
    plan = BenchPlan(
        parts=tuple(dict.fromkeys(part.value for part in wanted)),
        load=DrainLoad(readings=readings, sensors=sensors, late=late, refused=refused, skew=skew),
        batch=batch,
        rates=tuple(rate or (50.0, 1000.0)),
        duration_s=duration_s(duration, "--duration"),
        repeat=repeat,
        against=against,
        running=running,
    )
    if state_dir is not None and not running:
        raise UsageError("--state-dir needs --running", hint="add --running, or leave out --state-dir")
    report = measure(plan, options.settings(state_dir=state_dir))
    show(result(report, os.cpu_count()), output, view)
