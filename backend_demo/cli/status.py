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

COLORS = {
    "ready": "green",
    "failed": "red",
    "unhealthy": "red",
    "starting": "yellow",
    "stopped": "red",
    "off": "bright_black",
}


def status(
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Show services, their health, and addresses.

    Exit code 5: something is not healthy. A service that is off was left out, and nothing is wrong with it.

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
    healthy = all(service.state in ("ready", "off") for service in services)
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
    """The table, by hand: importing rich for it would take a sixth of what `status` may."""
    rows = [("service", "state", "pid", "uptime", "memory", "restarts")]
    for service in services:
        memory = f"{service.rss_bytes / 1e6:.0f} MB" if service.rss_bytes else ""
        counts = (str(service.pid or ""), duration(service.uptime_s), memory, str(service.restarts))
        rows.append((service.name, service.state, *counts))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, state, *numbers in rows:
        words = [name.ljust(widths[0]), typer.style(state.ljust(widths[1]), fg=COLORS.get(state))]
        words += [number.rjust(width) for number, width in zip(numbers, widths[2:], strict=True)]
        typer.echo("   ".join(words))
    typer.echo()
    for service in services:
        for line in (service.error or "").splitlines():
            typer.echo(f"{typer.style(f'{service.name}:', fg='red')} {line}")
    typer.echo(f"{sum(service.rss_bytes or 0 for service in services) / 1e6:.0f} MB in all\n")
    for what, address in addresses.items():
        typer.echo(f"{what:20} {address}")


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
