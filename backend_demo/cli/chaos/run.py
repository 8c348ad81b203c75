"""`bdemo chaos run`: faults under load, and the proof that nothing was lost."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Annotated

import typer

from backend_demo.cli import options, render
from backend_demo.cli.times import duration_s
from backend_demo.errors import UsageError

#: How long the end of the load waits for acknowledgements, seconds.
FLUSH_S = 60.0

#: Fractions of the readings that come late, twice or broken.
LATE, DUPLICATE, CORRUPT = 0.05, 0.02, 0.01


def run(
    scenario: Annotated[
        str | None,
        typer.Argument(
            metavar="[SCENARIO]",
            help="A scenario of bdemo chaos ls, or a TOML file; without it, random faults.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random faults: same seed, same faults.", show_default="a new one")
    ] = None,
    lasts: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Random faults: for how long.", show_default="1m")
    ] = None,
    sensors: Annotated[int, typer.Option(help="Sensors of the load.")] = 20,
    rate: Annotated[float, typer.Option(help="Readings per second and sensor.")] = 10.0,
    ledger: Annotated[
        Path | None,
        typer.Option(
            help="Write the ledger of the readings to this file; otherwise it is kept only if something is wrong.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option(metavar="TIME", help="How long the end waits for readings that are still on their way.")
    ] = "2m",
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Break the running stack under load, and prove that nothing was lost.

    Sensors of its own publish while services are killed, paused and restarted. Then every reading and every average
    is compared with what was sent. Some readings come late, twice or broken on purpose. When something is lost, stored
    twice or wrong, the exit code is 8.

    The stack has recovered from a fault when all services are ready and new readings arrive in time. Ctrl-C ends
    faults and load; the comparison is still made.

    \b
    Examples:
      $ bdemo chaos run
      $ bdemo chaos run --seed 1 --for 5m --sensors 100 --rate 20
      $ bdemo chaos run servers -o json
      $ bdemo chaos run mine.toml --ledger run.jsonl
    """
    from backend_demo.cli.chaos import result
    from backend_demo.cli.chaos.trial import Trial, kept_if_wrong
    from backend_demo.operations.chaos import scenario as scenarios
    from backend_demo.simulator.data_faults import Faults
    from backend_demo.simulator.plan import Plan

    if scenario is not None and (seed is not None or lasts is not None):
        raise UsageError("--seed and --for are of random faults", hint="leave them out, or leave out the scenario")
    if scenario is None and seed is None:
        seed = random.SystemRandom().randrange(10_000)
    chosen = None if scenario is None else scenarios.load(scenario)
    lasts_s = duration_s(lasts or "1m", "--for")
    load = Plan(
        sensors=sensors,
        first_sensor=time.time_ns() // 1_000_000,  # new ones: what an earlier run has broken is not judged again
        rate=rate,
        model="random-walk",
        faults=Faults(late=LATE, duplicate=DUPLICATE, corrupt=CORRUPT),
        flush_s=FLUSH_S,
    )
    trial = Trial(options.attached(state_dir), load, wait_s=duration_s(wait, "--wait"))
    faults = chosen or trial.random_faults(seed or 0, lasts_s)
    with kept_if_wrong(ledger) as file:
        found, verdict, number = trial.run(faults, seed, file)
        problem = result.problem_of(found, verdict)
        render.show(found, output, lambda found: result.view(found, verdict), problem=problem)
    if number:
        raise typer.Exit(128 + number)
