"""`bdemo status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from backend_demo.cli import options
from backend_demo.errors import ServiceFailed

if TYPE_CHECKING:
    from backend_demo.stack.base import ServiceStatus

SCHEMA = "bdemo.status/1"

STYLES = {"ready": "green", "failed": "bold red", "unhealthy": "red", "starting": "yellow", "stopped": "dim"}


def status(
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Show services, their health, and addresses.

    Exit code 5: something is not healthy.

    \b
    Examples:
      $ bdemo status
      $ bdemo status -o json | jq .healthy
    """
    from backend_demo.cli.output import show_json
    from backend_demo.stack.addresses import addresses
    from backend_demo.stack.open import stack_in
    from backend_demo.stack.state import StateDirectory

    state = StateDirectory(options.state_directory(state_dir))
    services = stack_in(state.path).status()
    saved = state.saved()
    healthy = all(service.state == "ready" for service in services)
    if output is options.Output.json:
        fields = ("name", "state", "pid", "uptime_s", "rss_bytes", "restarts", "error")
        show_json(
            {
                "schema": SCHEMA,
                "stack": saved["stack"],
                "healthy": healthy,
                "services": [{field: getattr(service, field) for field in fields} for service in services],
                "addresses": addresses(saved, state),
            }
        )
    else:
        _show(services, addresses(saved, state))
    if not healthy:
        raise typer.Exit(ServiceFailed.exit_code)


def _show(services: Sequence[ServiceStatus], addresses: dict[str, str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("service", "state"):
        table.add_column(column, no_wrap=True)
    for column in ("pid", "uptime", "memory", "restarts"):
        table.add_column(column, no_wrap=True, justify="right")
    for service in services:
        table.add_row(
            service.name,
            Text(service.state, STYLES.get(service.state, "")),
            str(service.pid or ""),
            duration(service.uptime_s),
            f"{service.rss_bytes / 1e6:.0f} MB" if service.rss_bytes else "",
            str(service.restarts),
        )
    console.print(table)
    for service in services:
        for line in (service.error or "").splitlines():
            console.print(Text.assemble((f"{service.name}: ", "bold red"), line))
    total = sum(service.rss_bytes or 0 for service in services)
    console.print(f"{total / 1e6:.0f} MB in all\n")
    for name, address in addresses.items():
        console.print(Text.assemble((f"{name:20} ", "dim"), address))


def duration(seconds: float | None) -> str:
    """Two units at most: `48 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds is None:
        return ""
    left = int(seconds)
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])
