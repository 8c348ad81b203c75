"""`bdemo run`: runs one service in this process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend_demo.cli import options
from backend_demo.cli.render import say
from backend_demo.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from backend_demo.adapters.kafka import Brokers
    from backend_demo.settings import Settings
    from backend_demo.stack.services.service import Service
    from backend_demo.stack.state.directory import StateDirectory
    from backend_demo.stages.runtime.process import ServiceProcess

OURS = ("mqtt", "bridge", "poll", "collection", "processing", "aggregation", "loader", "gateway")


def run(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(OURS)}, or a copy such as processing-2.")],
    state_dir: options.StateDir = None,
    standalone: Annotated[
        bool,
        typer.Option(
            "--standalone",
            help="Use the addresses in the settings (BDEMO_KAFKA_BOOTSTRAP and others) instead of a running stack's.",
        ),
    ] = False,
    pdb: Annotated[bool, typer.Option("--pdb", help="Open the debugger when an exception is raised.")] = False,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the gateway.")] = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Run one service here, in the foreground, to debug it.

    Breakpoints work, and Ctrl-C ends it cleanly. It replaces the supervised copy, which is started again afterwards.

    \b
    Examples:
      $ bdemo run processing
      $ bdemo run loader --pdb
      $ BDEMO_KAFKA_BOOTSTRAP=kafka:9092 bdemo run collection --standalone
    """
    from backend_demo import environment
    from backend_demo.stack import privileges
    from backend_demo.stack.services.copies import copy_name
    from backend_demo.stack.services.table import SERVICES

    name, number = _service(service)
    if standalone and supervised:
        raise UsageError("--standalone cannot be combined with --supervised")
    if standalone and number > 1:
        raise UsageError(
            f"{service}: --standalone runs no numbered copies",
            hint=f"give it a port of its own: BDEMO_{name.upper()}_STATS_PORT=... bdemo run {name} --standalone",
        )
    port_setting = SERVICES[name].client_port
    if port and not port_setting:
        raise UsageError(f"--port: {name} has no such port", hint="only the gateway has one: leave out --port")
    settings = options.settings(
        state_dir=state_dir,
        **({port_setting: port} if port_setting else {}),
        **(_handed_on(state_dir) if supervised else {}),
    )
    if not standalone:
        settings = _attached(settings, name, number, port)
    with contextlib.ExitStack() as cleanup:
        if not standalone and not supervised:
            cleanup.enter_context(_in_place_of_the_supervised(settings, name, number))
        if not standalone:
            cleanup.enter_context(_slot(settings, copy_name(name, number)))
        cleanup.enter_context(environment.of_a_terminal())
        privileges.forbid_core_dumps()
        code = _run_here(settings, name, number, cleanup, debug=not supervised, pdb=pdb)
    raise typer.Exit(code)


def _service(name: str) -> tuple[str, int]:
    """The service and the number of its copy. Raises UnknownName."""
    from backend_demo.stack.services.table import SERVICES, copy_of

    with contextlib.suppress(UnknownName):
        service, number = copy_of(name)
        if service.ours:
            return service.name, number
    if name in SERVICES:
        raise UsageError(f"{name} is a server", hint=f"run takes one of: {', '.join(OURS)}")
    raise UnknownName("service", name, OURS)


def _handed_on(state_dir: Path | None) -> dict[str, Any]:
    """The settings that the newest `up` hands on."""
    from backend_demo.stack.state.directory import StateDirectory

    return StateDirectory(options.state_directory(state_dir)).handed_on.settings()


def _attached(settings: Settings, service: str, number: int, port: int | None) -> Settings:
    """The settings of the running stack, as this copy of the service uses them. Raises PortInUse, UnknownName."""
    from backend_demo.stack.services.copies import copy_name
    from backend_demo.stack.services.table import SERVICES, chosen, stats_port
    from backend_demo.stack.state.directory import StateDirectory

    state = StateDirectory(settings.state_dir)
    attached = state.attached(
        settings,
        mqtt=SERVICES[service].mqtt_user or "sensor",
        postgres=SERVICES[service].postgres_user or "bdemo",
        kafka=SERVICES[service].kafka_user,
    )
    if port and port != attached.gateway_port:  # before the supervised copy is stopped
        from backend_demo.stack import ports

        ports.check_port(port, service, hint="stop it, or choose another --port")
    if attached.stack == "compose" and SERVICES[service].users:
        attached = attached.model_copy(update={"mqtt_users_file": _users_of_containers(state)})
    if number == 1:
        # as child processes, a static member of its group: it comes back after a kill without a rebalance
        static = "0" if attached.stack == "embedded" else ""
        changes = {"instance": attached.instance or static, **({"gateway_port": port} if port else {})}
    else:
        # not a static one: when it is scaled away, its partitions are read on at once
        name = chosen(copy_name(service, number), state.record.copies())[0]
        changes = {"instance": "", f"{service}_stats_port": stats_port(name, attached.model_dump())}
    return attached.model_copy(update=changes)


def _users_of_containers(state: StateDirectory) -> Path:
    """A copy of the file in their volume, as it is now: those that are added later are not in it."""
    from backend_demo.mqtt.users_file import serialise
    from backend_demo.stack.mqtt_users import users_of
    from backend_demo.stack.state.files import write_private

    users = users_of(state.path).store.read()
    state.mqtt_users_file.parent.mkdir(exist_ok=True, mode=0o700)
    write_private(state.mqtt_users_file, serialise(users))
    return state.mqtt_users_file


def _slot(settings: Settings, service: str) -> contextlib.AbstractContextManager[None]:
    """One copy of a service at a time: two with one group instance id would evict each other for ever."""
    from backend_demo.stack.state.directory import StateDirectory

    return StateDirectory(settings.state_dir).locks.hold(service)


@contextlib.contextmanager
def _in_place_of_the_supervised(settings: Settings, service: str, number: int) -> Iterator[None]:
    from backend_demo.stack.open import open_stack
    from backend_demo.stack.services.copies import copy_name
    from backend_demo.stack.state.directory import StateDirectory

    name = copy_name(service, number)
    if service not in StateDirectory(settings.state_dir).record.copies():
        say(f"[bold]{name}[/] runs here, as the stack runs without it; Ctrl-C ends it")
        yield
        return
    stack, one = open_stack(settings), f"{service}-{number}"
    try:
        stack.stop(one)
        say(f"[bold]{name}[/] runs here, in place of its supervised copy; Ctrl-C ends it")
        yield
    finally:
        say(f"starting the supervised [bold]{name}[/] again")
        stack.start(one)


def _run_here(
    settings: Settings, service: str, number: int, cleanup: contextlib.ExitStack, *, debug: bool, pdb: bool
) -> int:
    """Runs the service until it ends or is told to; the exit code. What it holds is put on `cleanup`."""
    import gc

    gc.disable()  # nothing of what the imports make is garbage; ServiceProcess.run switches it on again

    from backend_demo import log
    from backend_demo.stack.services.copies import copy_name
    from backend_demo.stages.runtime.process import ServiceProcess

    form = log.set_up(settings.log_level, form=settings.log_format, service=copy_name(service, number))
    process = ServiceProcess(
        debug_failures=pdb, before_end=cleanup.close if debug else None, failpoint=settings.failpoint
    )
    if debug:
        sys.breakpointhook = _breakpoint
    try:
        return _serve(settings, service, process, cleanup)
    except Exception as problem:
        if form == "short":
            raise
        return log.failed(problem)


def _serve(settings: Settings, service: str, process: ServiceProcess, cleanup: contextlib.ExitStack) -> int:
    import asyncio
    from importlib import import_module

    from backend_demo import metrics
    from backend_demo.adapters.kafka import Brokers
    from backend_demo.stack.services.table import SERVICES

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
    entry = SERVICES[service]
    module = import_module(entry.entry_point)

    async def main(stop: asyncio.Event) -> None:
        # a service waits for a Kafka that is away; for one that refuses it, it would wait for ever
        watching = asyncio.create_task(_until_kafka_takes(Brokers.of(settings), entry))
        serving = asyncio.create_task(module.main(settings, process, stop))
        await asyncio.wait({watching, serving}, return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        if not serving.done() and not watching.cancelled() and watching.exception():
            while not serving.done():  # asyncio.wait_for of Python 3.11 loses one that comes as a connection fails
                serving.cancel()
                await asyncio.wait({serving}, timeout=1.0)
            watching.result()
        await serving

    return process.run(main, owner=entry.owns_input)


async def _until_kafka_takes(brokers: Brokers, service: Service) -> None:
    """Returns when Kafka lets this service in, and do its work. Raises ServiceFailed, ConfigurationInvalid."""
    from backend_demo.adapters import kafka_allowed, kafka_refusal

    await kafka_refusal.until_taken(brokers)
    if rights := service.kafka_rights:
        await kafka_allowed.until_allowed(brokers, reads=rights.reads, writes=rights.writes)


def _breakpoint(*_: object, **__: object) -> None:
    """`breakpoint()`: the debugger, which leaves Ctrl-C to the service once that goes on."""
    from pdb import Pdb

    Pdb(nosigint=True).set_trace(sys._getframe(1))
