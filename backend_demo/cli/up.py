"""`bdemo up` starts the stack."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backend_demo.cli import network, options, render
from backend_demo.cli.network import NetworkAccess
from backend_demo.stack.base import LeftOut

if TYPE_CHECKING:
    from backend_demo.stack.state.directory import StateDirectory


@dataclass(frozen=True, kw_only=True)
class Document:
    """What `up` did, as JSON: copies by their names, and the addresses of what runs."""

    schema: Literal["bdemo.up/1"] = "bdemo.up/1"
    started: tuple[str, ...]
    stopped: tuple[str, ...]
    already_running: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    addresses: dict[str, str]
    network: NetworkAccess | None
    """What a device of another machine needs; null: the stack is open to this machine only."""


def up(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="SERVICE", help="Start only these services and those that they need.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="SERVICE", help="Leave this service out; repeatable.")
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option("--scale", metavar="SERVICE=COPIES", help="Run this many copies of a service; repeatable."),
    ] = None,
    stack: Annotated[
        options.StackKind | None,
        typer.Option("--stack", help="Run child processes or containers.  [env: BDEMO_STACK]", show_default=False),
    ] = None,
    profiles: Annotated[
        list[str] | None,
        typer.Option("--profile", help="Add to the compose stack: cluster, mosquitto, simulator or tools; repeatable."),
    ] = None,
    state_dir: options.StateDir = None,
    port_offset: Annotated[
        int | None,
        typer.Option("--port-offset", min=0, max=50000, help="Add this number to every port.", show_default=False),
    ] = None,
    any_port: Annotated[bool, typer.Option("--any-port", help="Use free ports.")] = False,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Open MQTT and the gateway, and nothing else, to the network at this address of this machine, with "
            "TLS and credentials.",
            show_default=False,
        ),
    ] = None,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls", help="MQTT and the gateway also speak TLS, on ports of their own; without --listen on 127.0.0.1."
        ),
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="The gateway asks for a token on this machine too; see bdemo open.")
    ] = False,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Start the stack in the background.

    Returns when a reading can pass through all of it.

    Run it again to start what does not run: it keeps the number of copies, and stops nothing that is left out.

    \b
    Examples:
      $ bdemo up
      $ bdemo up kafka postgres
      $ bdemo up --without gateway --scale processing=3
      $ bdemo up --stack compose --profile cluster
      $ bdemo up --any-port
      $ bdemo up --listen 192.168.1.20
      $ bdemo up --tls
      $ bdemo up --private && bdemo open
      $ bdemo up --state-dir /tmp/second --port-offset 10000
    """
    from backend_demo.cli.progress import StartProgress
    from backend_demo.stack import ports
    from backend_demo.stack.open import open_stack
    from backend_demo.stack.services.table import PIPELINE
    from backend_demo.stack.state.directory import StateDirectory

    copies = options.copies(scale or [])
    settings = options.settings(
        state_dir=state_dir,
        port_offset=port_offset,
        stack=stack,
        profiles=profiles or None,
        listen=listen,
        gateway_private=private or None,
    )
    if tls and not settings.listen:
        settings = settings.model_copy(update={"listen": network.LOOPBACK})
    network.check(settings)
    for name in ports.ignored(settings):
        render.say(f"[yellow]{name} {getattr(settings, name)} is ignored[/]: a stack listens on this machine only")
    with StartProgress() as progress:
        change = open_stack(settings, any_port=any_port).up(
            services or [], progress.report, without=without or [], scale=copies
        )
    if change.started and settings.stack == "embedded" and os.geteuid() == 0:
        render.say("[yellow]the services run as root[/], without its capabilities; a normal user is safer")
    if change.already_running and (any_port or port_offset is not None):
        render.say(
            "[yellow]the stack was running and keeps its ports[/]; to change them: bdemo down, then bdemo up again"
        )
    state = StateDirectory(settings.state_dir)
    if network.is_ignored(settings, state):
        render.say(
            f"[yellow]the stack was running, and is not open at {settings.listen}[/]; "
            "to open it: bdemo down, then bdemo up again"
        )
    if settings.gateway_private and not state.record.settings().get("gateway_private"):
        render.say(
            "[yellow]the stack was running, and its gateway asks for no token[/]; "
            "to change that: bdemo down, then bdemo up --private"
        )
    done = Document(
        started=change.started,
        stopped=change.stopped,
        already_running=change.already_running,
        left_out=change.left_out,
        addresses=_addresses(state),
        network=network.access(state),
    )
    render.show(done, output, _view)
    if state.record.copies().keys() >= set(PIPELINE) and output is options.Output.table:
        _suggest(options.same_stack(state_dir))


def _addresses(state: StateDirectory) -> dict[str, str]:
    """Returns where clients reach the running services that have an address, by service."""
    from backend_demo.stack.addresses import addresses

    found = addresses(state.record.settings(), state)
    return {service: found[service] for service in state.record.copies() if service in found}


def _view(done: Document) -> render.View:
    changed = done.started or done.stopped
    render.say("[green]the stack is up[/]" if changed else "[green]everything was already running[/]")
    yield render.Table(("service", "address"), list(done.addresses.items()))
    if done.network is not None:
        yield from network.lines(done.network)


def _suggest(here: str) -> None:
    """Commands to try next; they need the whole pipeline."""
    render.say("Try:")
    for command, purpose in (
        ("simulate --sensors 5 --duration 60", "publish readings"),
        ("tail topic", "watch readings pass"),
        ("query latest", "see what has arrived"),
        ("top", "watch everything; the console in the browser is at the gateway's address"),
    ):
        render.say(f"  [bold]bdemo {command + here:{34 + len(here)}}[/]  [dim]{purpose}[/]")
