"""`bdemo run`: one service in this very process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from backend_demo.cli import options
from backend_demo.cli.output import say
from backend_demo.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from backend_demo.settings import Settings

OURS = ("bridge", "collection", "processing", "aggregation", "loader", "gateway")


def run(
    service: Annotated[str, typer.Argument(help=f"One of: {', '.join(OURS)}; or a copy: processing-2.")],
    state_dir: options.StateDir = None,
    standalone: Annotated[
        bool,
        typer.Option("--standalone", help="No stack: addresses come from the settings (BDEMO_KAFKA_BOOTSTRAP, ...)."),
    ] = False,
    pdb: Annotated[bool, typer.Option("--pdb", help="Open the debugger where an exception is raised.")] = False,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the gateway.")] = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Run one service here, in the foreground, to debug it.

    Breakpoints work, Ctrl-C ends it cleanly. It takes the place of the (first) supervised copy, which comes back
    afterwards.

    \b
    Examples:
      $ bdemo run processing
      $ bdemo run loader --pdb
      $ BDEMO_KAFKA_BOOTSTRAP=kafka:9092 bdemo run collection --standalone
    """
    from backend_demo.stack.services import copy_name

    name, number = _service(service)
    if standalone and supervised:
        raise UsageError("--standalone and --supervised exclude each other")
    if standalone and number > 1:
        raise UsageError(
            "without a stack, a copy is like any other",
            hint=f"give it a port of its own: BDEMO_{name.upper()}_STATS_PORT=... bdemo run {name} --standalone",
        )
    if port and name != "gateway":
        raise UsageError(f"{name} listens on no --port", hint="leave it out: it is the gateway's")
    flags = {"gateway_port": port, "state_dir": state_dir}
    settings = options.settings(**flags)
    if not standalone:
        settings = _attached(settings, name, number, port)
    with contextlib.ExitStack() as cleanup:
        if not standalone and not supervised:
            cleanup.enter_context(_in_place_of_the_supervised(settings, name, number))
        if not standalone:
            cleanup.enter_context(_slot(settings, copy_name(name, number)))
        code = _run_here(settings, name, number, cleanup, debug=not supervised, pdb=pdb)
    raise typer.Exit(code)


def _service(name: str) -> tuple[str, int]:
    """The service and the number of its copy. Raises UnknownName."""
    from backend_demo.stack.services import copy_of

    with contextlib.suppress(UnknownName):
        service, number = copy_of(name)
        if service.ours:
            return service.name, number
    raise UnknownName("service of ours", name, OURS)


def _attached(settings: Settings, service: str, number: int, port: int | None) -> Settings:
    """The settings of the running stack, as this copy of the service uses them. Raises PortInUse, UnknownName."""
    from backend_demo.stack.services import chosen, copy_name, stats_port
    from backend_demo.stack.state import StateDirectory

    state = StateDirectory(settings.state_dir)
    attached = state.attached(
        settings,
        mqtt="bridge" if service == "bridge" else "sensor",
        postgres="bdemo_reader" if service == "gateway" else "bdemo",
    )
    if port and port != attached.gateway_port:  # before the supervised copy is stopped
        from backend_demo.stack import ports

        ports.check_port(port, service, hint="stop it, or choose another --port")
    if number == 1:
        # as child processes, a static member of its group: it comes back after a kill without a rebalance
        static = "0" if attached.stack == "embedded" else ""
        changes = {"instance": attached.instance or static, **({"gateway_port": port} if port else {})}
    else:
        # not a static one: when it is scaled away, its partitions are read on at once
        name = chosen(copy_name(service, number), state.wanted())[0]
        changes = {"instance": "", f"{service}_stats_port": stats_port(name, attached.model_dump())}
    return attached.model_copy(update=changes)


def _slot(settings: Settings, service: str) -> contextlib.AbstractContextManager[None]:
    """One copy of a service at a time: two with one group instance id would evict each other for ever."""
    from backend_demo.stack.state import StateDirectory

    return StateDirectory(settings.state_dir).lock(service)


@contextlib.contextmanager
def _in_place_of_the_supervised(settings: Settings, service: str, number: int) -> Iterator[None]:
    from backend_demo.stack.open import open_stack
    from backend_demo.stack.services import copy_name
    from backend_demo.stack.state import StateDirectory

    name = copy_name(service, number)
    if service not in StateDirectory(settings.state_dir).wanted():
        say(f"[bold]{name}[/] runs here, as the stack runs without it; Ctrl-C ends it")
        yield
        return
    stack, one = open_stack(settings), f"{service}-{number}"
    stack.stop(one)
    say(f"[bold]{name}[/] runs here, in place of its supervised copy; Ctrl-C ends it")
    try:
        yield
    finally:
        say(f"starting the supervised [bold]{name}[/] again")
        stack.start(one)


def _run_here(
    settings: Settings, service: str, number: int, cleanup: contextlib.ExitStack, *, debug: bool, pdb: bool
) -> int:
    """Runs the service until it ends or is told to; the exit code. What it holds is put on `cleanup`."""
    import gc

    gc.disable()  # nothing of what the imports make is garbage; process.run switches it on again

    from backend_demo import log
    from backend_demo.stack.services import copy_name
    from backend_demo.stages import failpoints, process

    form = log.set_up(settings.log_level, form=settings.log_format, service=copy_name(service, number))
    failpoints.arm(settings.failpoint)
    process.debug_failures = pdb
    if debug:
        process.before_end = cleanup.close
        sys.breakpointhook = _breakpoint
    try:
        return _serve(settings, service, cleanup)
    except Exception as problem:
        if form == "short":
            raise
        return log.failed(problem)


def _serve(settings: Settings, service: str, cleanup: contextlib.ExitStack) -> int:
    from importlib import import_module

    from backend_demo import metrics
    from backend_demo.stages import process

    try:
        # ended before the supervised copy comes back, which needs the port
        cleanup.callback(metrics.serve(settings, service))
    except OSError as problem:
        from backend_demo.errors import PortInUse

        raise PortInUse(
            settings.stats_port(service),
            f"{service} metrics",
            "another process",
            hint=f"stop it, or choose another with BDEMO_{service.upper()}_STATS_PORT",
        ) from problem
    gateway = service == "gateway"
    module = import_module("backend_demo.gateway.app" if gateway else f"backend_demo.stages.{service}")
    return process.run(lambda stop: module.main(settings, stop), owner=not gateway)


def _breakpoint(*_: object, **__: object) -> None:
    """`breakpoint()`: the debugger, which leaves Ctrl-C to the service once that goes on."""
    from pdb import Pdb

    Pdb(nosigint=True).set_trace(sys._getframe(1))
