"""`bdemo simulate`: sensors that publish over MQTT."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from backend_demo.cli import options, render
from backend_demo.cli.signals import first_stops
from backend_demo.cli.times import duration_s
from backend_demo.errors import ServiceFailed

if TYPE_CHECKING:
    from backend_demo.simulator.plan import SimulationProgress, Summary

#: Interval of progress lines where stderr is no terminal, seconds.
PLAIN_PROGRESS_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Document:
    """The summary of a simulation, as JSON."""

    schema: Literal["bdemo.simulate/1"] = "bdemo.simulate/1"
    sent: int
    acknowledged: int
    failed: int
    unsent: int
    dropped: int
    duplicated: int
    late: int
    corrupted: int
    messages: int
    seconds: float
    rate: float
    interrupted: bool


def simulate(
    sensors: Annotated[int, typer.Option(help="How many sensors.")] = 5,
    first_sensor: Annotated[int, typer.Option(help="The number of the first sensor.")] = 1,
    rate: Annotated[float, typer.Option(help="Readings per second and sensor.")] = 1.0,
    duration: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Ends after this time: 90, 5m, 1h30m.", show_default=False),
    ] = None,
    count: Annotated[int | None, typer.Option(help="Ends after this many readings in all.", show_default=False)] = None,
    ramp: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="In this time the rate grows from 0.", show_default=False),
    ] = None,
    model: Annotated[
        Literal["uniform", "random-walk", "day-night", "constant", "sawtooth", "spikes"],
        typer.Option(help="How the temperature moves."),
    ] = "uniform",
    kind: Annotated[Literal["int", "float"], typer.Option(help="Whole degrees or hundredths.")] = "float",
    seed: Annotated[int, typer.Option(help="Same seed, same values and faults.")] = 0,
    drop: Annotated[float, typer.Option(help="Fraction that is measured and never sent.")] = 0.0,
    duplicate: Annotated[float, typer.Option(help="Fraction that is sent twice.")] = 0.0,
    late: Annotated[float, typer.Option(help="Fraction that is sent after younger ones.")] = 0.0,
    corrupt: Annotated[float, typer.Option(help="Fraction replaced by what the pipeline must refuse.")] = 0.0,
    topics: Annotated[
        Literal["ours", "original"],
        typer.Option(help="sensors/N/temperature, or /sensorN/temp with strings for numbers."),
    ] = "ours",
    batch: Annotated[int, typer.Option(help="Readings in one message.")] = 1,
    qos: Annotated[int, typer.Option(help="MQTT quality of service: 0, 1 or 2.")] = 1,
    connections: Annotated[int, typer.Option(help="MQTT connections that the sensors share.")] = 4,
    processes: Annotated[
        int,
        typer.Option(min=1, max=64, help="Processes that share the sensors: one publishes about 25,000 messages/s."),
    ] = 1,
    mqtt: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A broker of your own, HOST:PORT or mqtts://HOST, with the user of BDEMO_MQTT_USERNAME and "
            "BDEMO_MQTT_PASSWORD. No stack needed.",
            show_default=False,
        ),
    ] = None,
    flush: Annotated[str, typer.Option(metavar="TIME", help="How long the end waits for the broker.")] = "10s",
    ledger: Annotated[
        Path | None,
        typer.Option(
            help="Adds a JSON line to this file for each reading sent, acknowledged, failed; see bdemo verify.",
            show_default=False,
        ),
    ] = None,
    output: options.OutputFormat = options.Output.table,
    state_dir: options.StateDir = None,
) -> None:
    """Let simulated sensors publish temperatures over MQTT.

    Until the end that you give, or Ctrl-C. Each reading falls due at its own moment; when the broker was away, the
    sensors catch up. Ctrl-C ends cleanly: what is out is waited for and the
    summary printed (exit code 130). When readings failed, the exit code is 5.

    \b
    Examples:
      $ bdemo simulate --sensors 5 --rate 10 --duration 1m
      $ bdemo simulate --sensors 10000 --rate 0.1 --model day-night --ramp 30s
      $ bdemo simulate --count 5000 --rate 200 --late 0.05 --ledger run.jsonl
      $ bdemo simulate --duration 30s --duplicate 0.1 --corrupt 0.1 -o json
      $ bdemo simulate --sensors 1000 --rate 40 --processes 2 --duration 1m
      $ bdemo simulate --topics original --kind int --mqtt mqtts://broker.example
    """
    from backend_demo.simulator import plan as plans
    from backend_demo.simulator import sensors as simulator
    from backend_demo.simulator.data_faults import Faults
    from backend_demo.simulator.processes import simulate_in_processes

    plan = plans.Plan(
        sensors=sensors,
        first_sensor=first_sensor,
        rate=rate,
        duration_s=None if duration is None else duration_s(duration, "--duration"),
        count=count,
        ramp_s=0.0 if ramp is None else duration_s(ramp, "--ramp"),
        seed=seed,
        model=model,
        kind=kind,
        topics=topics,
        batch=batch,
        qos=qos,  # type: ignore[arg-type]  # the plan checks it
        connections=connections,
        faults=Faults(drop=drop, duplicate=duplicate, late=late, corrupt=corrupt),
        flush_s=duration_s(flush, "--flush"),
    )
    settings = options.attached(state_dir) if mqtt is None else options.own_broker(mqtt)
    stop = threading.Event()
    with first_stops(stop) as received, _progress() as show:
        if processes == 1:
            summary = simulator.simulate(settings, plan, ledger=ledger, on_progress=show, stop=stop)
        else:
            summary = simulate_in_processes(settings, plan, processes, ledger=ledger, on_progress=show, stop=stop)
    problem = None if received else _problem(summary)
    render.show(Document(**vars(summary)), output, _view, problem=problem)
    if received:
        raise typer.Exit(128 + received[0])


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[SimulationProgress], None]]:
    """What shows a simulation's progress on stderr: a bar on a terminal, else a line every few seconds."""
    if not sys.stderr.isatty():
        yield _PlainProgress().show
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from backend_demo.cli.console import Console

    columns = (
        TextColumn("{task.fields[state]}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, state="connecting", figures="")

        def show(progress: SimulationProgress) -> None:
            bar.update(
                task,
                total=progress.total,
                completed=progress.measured,
                state=_state(progress),
                figures=_figures(progress),
            )

        yield show


class _PlainProgress:
    def __init__(self) -> None:
        self._next_s = PLAIN_PROGRESS_S

    def show(self, progress: SimulationProgress) -> None:
        if progress.seconds >= self._next_s:
            self._next_s = progress.seconds + PLAIN_PROGRESS_S
            render.say_quickly(f"{_state(progress)}: {_figures(progress)}")


def _state(progress: SimulationProgress) -> str:
    if not progress.connected:
        return "broker away"
    return "waiting for acknowledgements" if progress.flushing else "publishing"


def _figures(progress: SimulationProgress) -> str:
    return f"{progress.sent:,} sent, {progress.acknowledged:,} acknowledged, {progress.rate:,.1f}/s"


def _view(summary: Document) -> render.View:
    rows: list[tuple[str, Any]] = [
        (name, f"{value:,}")
        for name, value in vars(summary).items()
        if type(value) is int and (value or name in ("sent", "acknowledged", "failed"))
    ]
    rows += [("seconds", f"{summary.seconds:,.1f}"), ("readings/s", f"{summary.rate:,.1f}")]
    yield render.Table(("simulation", "readings>"), rows)


def _problem(summary: Summary) -> ServiceFailed | None:
    """Why the simulation failed, when the broker did not take everything."""
    if summary.failed:
        return ServiceFailed(
            f"{summary.failed:,} readings were not acknowledged by the MQTT broker",
            hint="see: bdemo status, bdemo logs mqtt; they may have arrived all the same: bdemo verify --ledger FILE",
        )
    if summary.unsent:
        return ServiceFailed(
            f"{summary.unsent:,} readings fell due and could not be sent in time",
            hint="the machine or the broker is too slow: lower --sensors or --rate, or let --batch join readings",
        )
    return None
