"""`bdemo up`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend_demo.cli import options

if TYPE_CHECKING:
    from backend_demo.settings import Settings


def up(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="SERVICE", help="Only these, and what they need.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="SERVICE", help="Leave this one out; repeatable.")
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option("--scale", metavar="SERVICE=COPIES", help="Run so many copies of it; repeatable."),
    ] = None,
    stack: Annotated[
        options.StackKind | None,
        typer.Option("--stack", help="Child processes, or containers.  [env: BDEMO_STACK]", show_default=False),
    ] = None,
    profiles: Annotated[
        list[str] | None,
        typer.Option("--profile", help="Compose only: cluster, mosquitto, simulator or tools; repeatable."),
    ] = None,
    state_dir: options.StateDir = None,
    port_offset: Annotated[
        int | None, typer.Option("--port-offset", min=0, max=50000, help="Add this to every port.", show_default=False)
    ] = None,
    any_port: Annotated[bool, typer.Option("--any-port", help="Take free ports instead.")] = False,
) -> None:
    """Start the stack in the background.

    Returns when a reading can pass through all of it.

    Run again, it says what runs, mends what does not, and keeps the copies. It stops nothing that is left out.

    \b
    Examples:
      $ bdemo up
      $ bdemo up kafka postgres
      $ bdemo up --without gateway --scale processing=3
      $ bdemo up --stack compose --profile cluster
      $ bdemo up --any-port
      $ bdemo up --state-dir /tmp/second --port-offset 10000
    """
    from backend_demo.cli.output import say
    from backend_demo.cli.progress import Progress
    from backend_demo.stack.open import open_stack

    copies = options.copies(scale or [])
    settings = options.settings(state_dir=state_dir, port_offset=port_offset, stack=stack, profiles=profiles or None)
    with Progress() as progress:
        open_stack(settings, any_port=any_port).up(services or [], progress.report, without=without or [], scale=copies)
    if not progress.changed and (any_port or port_offset is not None):
        say("[yellow]its ports stay as they are[/]; for others: bdemo down, then bdemo up again")
    _show_addresses(options.attached(settings.state_dir), state_dir, mended=progress.changed)


def _show_addresses(settings: Settings, state_dir: Path | None, *, mended: bool) -> None:
    from backend_demo.cli.output import say, show_table
    from backend_demo.stack.services import PIPELINE
    from backend_demo.stack.state import StateDirectory

    say("[green]the stack is up[/]" if mended else "[green]all of it was running already[/]")
    running = StateDirectory(settings.state_dir).wanted()
    rows = (
        ("gateway", settings.gateway_url, "gateway: the console, and the REST API (/docs)"),
        ("mqtt", f"{settings.mqtt_host}:{settings.mqtt_port}", "MQTT broker"),
        ("kafka", settings.kafka_bootstrap, "Kafka"),
        ("postgres", f"127.0.0.1:{settings.postgres_port}", "PostgreSQL, database temperature"),
        ("prometheus", f"http://127.0.0.1:{settings.prometheus_port}", "Prometheus: metrics, alerts"),
    )
    show_table(("address", "of"), [(address, what) for service, address, what in rows if service in running])
    if not running.keys() >= set(PIPELINE):  # what follows needs all of it
        return
    here = options.same_stack(state_dir)
    say("Try:")
    for command, purpose in (
        ("simulate --sensors 5 --duration 60", "sensors that publish"),
        ("tail topic", "readings as they pass"),
        ("query latest", "what has arrived"),
    ):
        say(f"  [bold]bdemo {command + here:{34 + len(here)}}[/]  [dim]{purpose}[/]")
