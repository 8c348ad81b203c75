"""`bdemo demo` runs the whole system for a minute and explains it."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend_demo.cli import options
from backend_demo.cli.render import print_parts, say
from backend_demo.errors import PortInUse, VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from backend_demo.settings import Settings
    from backend_demo.simulator.plan import Plan, Summary
    from backend_demo.stack.base import Stack, StackChange

SENSORS = 5


def demo(
    state_dir: options.StateDir = None,
    duration: Annotated[str, typer.Option(metavar="TIME", help="How long the sensors publish.")] = "10s",
    rate: Annotated[float, typer.Option(help="Readings per second and sensor.")] = 10.0,
    any_port: Annotated[bool, typer.Option("--any-port", help="Take free ports.")] = False,
    keep: Annotated[
        bool | None, typer.Option("--keep/--down", help="Leave the stack running, or stop it.", show_default="ask")
    ] = None,
) -> None:
    """Start the stack, send readings of five sensors through it, and check them.

    Shows each hop, queries the gateway, and proves with a ledger that every reading arrived exactly once.

    \b
    Examples:
      $ bdemo demo
      $ bdemo demo --keep
      $ bdemo demo --duration 1m --rate 100 --down
    """
    from backend_demo.cli.times import duration_s
    from backend_demo.simulator.plan import Plan

    plan = Plan(sensors=SENSORS, rate=rate, duration_s=duration_s(duration, "--duration"), model="random-walk")
    base = options.settings(state_dir=state_dir)
    _heading("1", "The stack: Kafka, PostgreSQL, an MQTT broker and our six services")
    try:
        stack, change = _up(base, any_port)
    except PortInUse as problem:
        say(f"{problem.message}: using free ports instead\n")
        stack, change = _up(base, any_port=True)
    here = options.same_stack(state_dir)
    try:
        _show_everything(options.attached(base.state_dir), plan, here)
    except BaseException:
        if change.changed and keep is not True:
            say("stopping the stack")
            stack.down()
        raise
    if keep is None:
        keep = not change.changed or _wants_to_keep(here)
    if keep:
        say(
            f"The stack keeps running. Try: [bold]bdemo status{here}[/], [bold]bdemo tail topic{here}[/]; "
            f"stop it with [bold]bdemo down{here}[/]"
        )
    else:
        stack.down()
        say(f"The stack is down, its data is kept. [bold]bdemo up{here}[/] starts it again in seconds.")


def _up(settings: Settings, any_port: bool) -> tuple[Stack, StackChange]:
    """Brings the stack up; returns it and what had to be started. Raises what `Stack.up` raises."""
    from backend_demo.cli.progress import StartProgress
    from backend_demo.stack.open import open_stack

    stack = open_stack(settings, any_port=any_port)
    with StartProgress() as progress:
        return stack, stack.up([], progress.report)


def _wants_to_keep(here: str) -> bool:
    """Asks the user; without a terminal the answer is no."""
    try:
        return sys.stdin.isatty() and typer.confirm("Keep the stack running?", default=True, err=True)
    except typer.Abort:
        say(f"\nThe stack keeps running; stop it with [bold]bdemo down{here}[/]")
        raise


def _show_everything(settings: Settings, plan: Plan, here: str) -> None:
    """Simulates, queries, verifies and explains. Raises VerificationFailed and what the steps raise."""
    from backend_demo.cli import loop, verify
    from backend_demo.cli.query import picture
    from backend_demo.domain.verdict import Expected
    from backend_demo.operations import verify as operation
    from backend_demo.operations.query import Gateway, Range
    from backend_demo.simulator import ledger as ledgers

    _heading("2", f"{plan.sensors} sensors publish over MQTT; each hop counts the readings it has passed on")
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger.jsonl"
        began = time.time()
        summary = _simulate(settings, plan, ledger)
        _heading("3", "The REST gateway: the newest readings, and averages of one sensor")
        with Gateway(settings.gateway_url, settings.gateway_token) as gateway:
            picture.show(gateway.latest(range(1, plan.sensors + 1)))
            picture.show(gateway.first(Range("average", (1,), began), 5))
        _heading("4", "The proof: the ledger of the sensors compared with the tables")
        verdict = loop.run(operation.verify(settings, Expected(ledgers.read(ledger)), wait_s=30))
    print_parts(verify.view(verdict))
    if not verdict.passed or summary.failed or summary.unsent:
        raise VerificationFailed(
            "the tables differ from what the sensors published", hint="see: bdemo status, bdemo logs"
        )
    _heading("5", "What happened")
    say(
        f"{summary.acknowledged:,} readings went from MQTT through four Kafka topics and three Faust\n"
        "services into PostgreSQL. Each is stored exactly once, with the average of its\n"
        f"sensor's last {settings.aggregation_window} readings. The REST API serves them: {settings.gateway_url}/docs\n"
    )
    say("Try next, with the stack running:")
    for command, purpose in (
        ("simulate --sensors 100 --rate 10", "more load"),
        ("tail topic processed-data", "readings as they pass"),
        ("query average --sensor 1 --since 5m --chart", "a chart right here"),
        ("run processing", "a service with your breakpoints"),
    ):
        say(f"  [bold]bdemo {command + here:{43 + len(here)}}[/]  [dim]{purpose}[/]")
    say()


def _heading(number: str, text: str) -> None:
    say(f"\n[bold cyan]{number}[/]  [bold]{text}[/]\n")


def _simulate(settings: Settings, plan: Plan, ledger: Path) -> Summary:
    """Simulates while a table shows the hops; returns when the last hop has everything, or after ten seconds."""
    from rich.live import Live

    from backend_demo.cli.console import Console
    from backend_demo.operations.observe import hops
    from backend_demo.simulator.plan import SimulationProgress
    from backend_demo.simulator.sensors import simulate
    from backend_demo.stack.services.table import stats_ports
    from backend_demo.stack.state.directory import StateDirectory

    console = Console(stderr=True, highlight=False)
    ports = stats_ports(settings.model_dump(), StateDirectory(settings.state_dir).record.copies())
    before = hops.read(settings, ports)
    sent = 0
    with Live(console=console, auto_refresh=False, transient=not console.is_terminal) as live:

        def show(progress: SimulationProgress) -> None:
            nonlocal sent
            sent = progress.sent
            live.update(_hop_table(sent, before, hops.read(settings, ports)), refresh=console.is_terminal)

        summary = simulate(settings, plan, ledger=ledger, on_progress=show)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            now = hops.read(settings, ports)
            live.update(_hop_table(sent, before, now), refresh=console.is_terminal)
            if now["table average"] - before["table average"] >= summary.acknowledged:
                break
            time.sleep(0.1)
    if not console.is_terminal:
        console.print(_hop_table(sent, before, now))
    return summary


def _hop_table(sent: int, before: Mapping[str, int], now: Mapping[str, int]) -> Table:
    from rich import box
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("hop", min_width=20)
    table.add_column("readings", justify="right", min_width=9)
    table.add_column("")
    for name, count in (("published", sent), *((name, now[name] - before[name]) for name in now)):
        table.add_row(name, f"{count:,}", ProgressBar(total=max(1, sent), completed=min(count, sent), width=40))
    return table
