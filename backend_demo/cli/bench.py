"""`bdemo bench`: how fast is it here?"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

from backend_demo.cli import options
from backend_demo.errors import UsageError


class Part(StrEnum):
    """What can be measured."""

    drain = "drain"
    mqtt = "mqtt"
    latency = "latency"


def bench(
    parts: Annotated[
        list[Part] | None, typer.Argument(metavar="[PART]...", help="Any of drain, mqtt, latency; else all.")
    ] = None,
    readings: Annotated[int, typer.Option(help="drain: readings in all.")] = 500_000,
    sensors: Annotated[int, typer.Option(help="drain, mqtt: sensors that send them.")] = 100,
    late: Annotated[float, typer.Option(help="drain: fraction that comes after younger readings.")] = 0.0,
    refused: Annotated[float, typer.Option(help="drain: fraction that must end in dead-letter.")] = 0.0,
    skew: Annotated[bool, typer.Option("--skew", help="drain: one sensor sends half of everything.")] = False,
    batch: Annotated[int, typer.Option(help="mqtt: readings in one message.")] = 1,
    rate: Annotated[
        list[float] | None, typer.Option(help="latency: readings per second; again for more.", show_default="50, 1000")
    ] = None,
    duration: Annotated[
        str, typer.Option(metavar="TIME", help="mqtt, latency: how long readings are sent; each rate.")
    ] = "20s",
    repeat: Annotated[int, typer.Option(help="Runs of each; the one in the middle counts.")] = 1,
    against: Annotated[
        Literal["stock"] | None,
        typer.Option(help="drain: the same on stock Faust, in turn, and how many times as fast.", show_default=False),
    ] = None,
    running: Annotated[
        bool, typer.Option("--running", help="Measure the stack that runs, not one of its own.")
    ] = False,
    output_format: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Measure throughput, latency, CPU time and memory.

    On a stack of its own, on free ports, that is gone afterwards. drain: from a
    full sensor-data to both tables. mqtt: from publish to row. latency: from
    Kafka to row, at given rates. Every row and every average is checked:
    when one is wrong there is no figure, and the exit code is 8.

    With --running, the running stack gets the load: drain and latency only,
    with sensors of their own whose rows are deleted; its services
    stand still for a moment.

    \b
    Examples:
      $ bdemo bench
      $ bdemo bench drain --repeat 3 --against stock
      $ bdemo bench drain --late 0.02 --refused 0.005 --skew
      $ bdemo bench mqtt --batch 50 --duration 60s
      $ bdemo bench latency --rate 50 --rate 1000 -o json
      $ bdemo bench latency --running
    """
    from backend_demo.cli import bench_run, bench_show, output
    from backend_demo.cli.times import duration_s
    from backend_demo.operations.bench.readings import Load

    wanted = list(dict.fromkeys(part.value for part in parts or Part if not (running and not parts and part == "mqtt")))
    plan = bench_run.Plan(
        parts=tuple(wanted),
        load=Load(readings=readings, sensors=sensors, late=late, refused=refused, skew=skew),
        batch=batch,
        rates=tuple(rate or (50.0, 1000.0)),
        duration_s=duration_s(duration),
        repeat=repeat,
        against=against,
        running=running,
    )
    if state_dir is not None and not running:
        raise UsageError("--state-dir names a running stack", hint="add --running, or leave it out")
    report = bench_run.measure(plan, options.settings(state_dir=state_dir))
    if output_format is options.Output.json:
        output.show_json(bench_show.as_json(report))
    else:
        bench_show.show(report)
