"""`bdemo chaos kill`, `pause` and `restart`: one fault in one service."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from backend_demo.cli import options, render
from backend_demo.cli.signals import first_stops
from backend_demo.cli.times import duration_s
from backend_demo.domain.fault import FaultKind
from backend_demo.errors import TimedOut

_Service = Annotated[
    str, typer.Argument(metavar="SERVICE", help="A service, with all its copies, or one copy: processing-2.")
]

#: What is said when a fault begins.
DONE = {"kill": "killed", "pause": "paused", "restart": "stopped"}


@dataclass(frozen=True, kw_only=True)
class Document:
    """One fault and its end, as JSON."""

    schema: Literal["bdemo.chaos.fault/1"] = "bdemo.chaos.fault/1"
    kind: FaultKind
    copies: tuple[str, ...]
    for_s: float
    """How long it has lasted, seconds."""
    interrupted: bool
    """It was ended early."""
    recovered_s: float | None
    """When these copies were ready again, seconds after its end; null: not in time, or not watched."""
    all_recovered_s: float | None
    """When every copy was that was ready before."""


_Down = Annotated[
    str | None,
    typer.Option("--for", metavar="TIME", help="How long it stays down.", show_default="it is started at once"),
]


def kill(
    service: _Service,
    lasts: _Down = None,
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Kill a service with SIGKILL.

    The supervisor starts it again; a container is started by bdemo, as Docker starts nothing that was killed through
    it. Returns when all is ready again.

    \b
    Examples:
      $ bdemo chaos kill loader
      $ bdemo chaos kill postgres --for 20s
    """
    _do("kill", service, 0.0 if lasts is None else duration_s(lasts, "--for"), state_dir, output)


def pause(
    service: _Service,
    lasts: Annotated[str, typer.Option("--for", metavar="TIME", help="How long it stands still.")] = "10s",
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Let a service stand still: its processes keep everything and do nothing (SIGSTOP, docker pause).

    They always continue, also when this command is interrupted or killed. A stage that stood still for longer than
    about 10 s ends itself then, since another copy may own its partitions.

    \b
    Examples:
      $ bdemo chaos pause kafka --for 20s
      $ bdemo chaos pause processing-2
    """
    _do("pause", service, duration_s(lasts, "--for"), state_dir, output)


def restart(
    service: _Service,
    lasts: _Down = None,
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Stop a service in order, and start it again.

    \b
    Examples:
      $ bdemo chaos restart gateway
      $ bdemo chaos restart kafka --for 30s
    """
    _do("restart", service, 0.0 if lasts is None else duration_s(lasts, "--for"), state_dir, output)


def _do(kind: FaultKind, target: str, for_s: float, state_dir: options.StateDir, output: options.Output) -> None:
    from backend_demo.stack import faults
    from backend_demo.stack.open import faults_in, stack_in

    directory = options.state_directory(state_dir)
    maker, stack = faults_in(directory), stack_in(directory)
    copies = faults.victims(maker, target)
    others = {status.name for status in stack.status() if status.state == "ready"}
    named = ", ".join(copies)
    stop = threading.Event()
    with first_stops(stop) as received, maker.fault(kind, copies, held=for_s > 0):
        began = time.monotonic()
        render.say_quickly(f"{DONE[kind]} {named}" + (f", for {for_s:g} s" if for_s else ""))
        stop.wait(for_s)
        lasted_s = time.monotonic() - began if for_s else 0.0
        if received:
            render.say_quickly("interrupted")
        if for_s or kind == "restart":
            render.say_quickly(f"{'continuing' if kind == 'pause' else 'starting'} {named}")
    recovery = faults.Recovery(None, None) if received else faults.watch_recovery(stack, copies, others)
    done = Document(
        kind=kind,
        copies=tuple(copies),
        for_s=round(lasted_s, 3),
        interrupted=bool(received),
        recovered_s=_rounded(recovery.victims_s),
        all_recovered_s=_rounded(recovery.all_s),
    )
    problem = None
    if recovery.all_s is None and not received:
        late = named if recovery.victims_s is None else "the stack"
        problem = TimedOut(
            f"{late} is not ready {faults.RECOVERY_LIMIT_S:g} s after the fault", hint="see: bdemo status"
        )
    render.show(done, output, _view, problem=problem)
    if received:
        raise typer.Exit(128 + received[0])


def _view(done: Document) -> render.View:
    names = ", ".join(done.copies)
    if done.recovered_s is not None:
        yield f"{names} ready again after {done.recovered_s:.1f} s"
    if done.all_recovered_s is not None:
        yield f"everything ready again after {done.all_recovered_s:.1f} s"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
