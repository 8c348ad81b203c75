"""`bdemo status` shows what runs, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from backend_demo.cli import network, options, render
from backend_demo.cli.network import NetworkAccess
from backend_demo.errors import ServiceFailed
from backend_demo.operations.sizes import StackSizes
from backend_demo.stack.base import HEALTHY, ServiceState
from backend_demo.text import duration

#: Colours of the states, as typer knows them.
COLORS = {
    "ready": "green",
    "failed": "red",
    "unhealthy": "red",
    "starting": "yellow",
    "waiting": "yellow",
    "rebalancing": "yellow",
    "stopped": "red",
    "off": "bright_black",
}


@dataclass(frozen=True)
class CopyStatus:
    """One copy of a service."""

    name: str
    state: ServiceState
    pid: int | None
    uptime_s: float | None
    rss_bytes: int | None
    restarts: int
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Document:
    """The status of a stack, as JSON."""

    schema: Literal["bdemo.status/1"] = "bdemo.status/1"
    stack: str
    healthy: bool
    services: tuple[CopyStatus, ...]
    addresses: dict[str, str]
    network: NetworkAccess | None
    """How other machines reach it, and how long its certificate is good; null: they do not."""
    sizes: StackSizes | None = None
    """With --sizes."""


def status(
    sizes: Annotated[
        bool,
        typer.Option("--sizes", help="Show sizes of tables and topics, growth a day and days until the disk is full."),
    ] = False,
    state_dir: options.StateDir = None,
    output: options.OutputFormat = options.Output.table,
) -> None:
    """Show services, their health and addresses.

    Exit code 5: a service is not healthy. A service that is off was left out. One that is rebalancing is healthy: its
    partitions are being assigned again, which takes seconds.

    \b
    Examples:
      $ bdemo status
      $ bdemo status -o json | jq .healthy
      $ bdemo status --sizes
    """
    from backend_demo.stack.addresses import addresses
    from backend_demo.stack.open import stack_in
    from backend_demo.stack.state.directory import StateDirectory

    state = StateDirectory(options.state_directory(state_dir))
    services = tuple(
        CopyStatus(each.name, each.state, each.pid, each.uptime_s, each.rss_bytes, each.restarts, each.error)
        for each in stack_in(state.path).status()
    )
    saved = state.record.settings()
    found = Document(
        stack=saved["stack"],
        healthy=all(service.state in HEALTHY for service in services),
        services=services,
        addresses=addresses(saved, state),
        network=network.access(state),
        sizes=_sizes(state_dir) if sizes else None,
    )
    render.show(found, output, _view)
    if not found.healthy:
        raise typer.Exit(ServiceFailed.exit_code)


def _sizes(state_dir: options.StateDir) -> StackSizes:
    from backend_demo.operations.sizes import sizes

    settings = options.attached(state_dir)
    return sizes(settings.postgres_dsn, settings.state_dir)


def _sizes_view(sizes: StackSizes) -> Iterator[str]:
    rows = [("table", "size", "rows", "a day")]
    for table in sizes.tables:
        a_day = "" if table.bytes_a_day is None else _amount(table.bytes_a_day)
        rows.append((table.name, _amount(table.bytes), f"{table.rows:,}", a_day))
    rows += [("", "", "", ""), ("topic", "size", "", "")] if sizes.topics else []
    rows += [(topic.name, _amount(topic.bytes), "", "") for topic in sizes.topics or ()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    yield ""
    for name, *figures in rows:
        numbers = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
        yield "   ".join([name.ljust(widths[0]), *numbers]).rstrip()
    growth = "its growth is known an hour after the first readings"
    if sizes.bytes_a_day is not None and sizes.days_until_full is not None:
        growth = f"{_amount(sizes.bytes_a_day)} a day: {sizes.days_until_full:,.0f} days until it is full"
    yield f"\n{_amount(sizes.free_bytes)} of the disk are free; {growth}"


def _amount(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _view(found: Document) -> Iterator[str | render.Line]:
    """The table as text: importing rich for it would take a sixth of the time that `status` may take."""
    rows = [("service", "state", "pid", "uptime", "memory", "restarts")]
    for service in found.services:
        memory = f"{service.rss_bytes / 1e6:.0f} MB" if service.rss_bytes else ""
        uptime = "" if service.uptime_s is None else duration(service.uptime_s)
        figures = (str(service.pid or ""), uptime, memory, str(service.restarts))
        rows.append((service.name, service.state, *figures))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, state, *numbers in rows:
        counts = [number.rjust(width) for number, width in zip(numbers, widths[2:], strict=True)]
        yield (
            (f"{name.ljust(widths[0])}   ", None),
            (state.ljust(widths[1]), COLORS.get(state)),
            ("   " + "   ".join(counts), None),
        )
    yield ""
    for service in found.services:
        for line in (service.error or "").splitlines():
            yield (f"{service.name}:", "red"), (f" {line}", None)
    yield f"{sum(service.rss_bytes or 0 for service in found.services) / 1e6:.0f} MB in total\n"
    for what, address in found.addresses.items():
        yield f"{what:20} {address}"
    if found.network is not None:
        yield f"{'network_mqtt':20} {found.network.mqtt}"
        yield f"{'network_gateway':20} {found.network.gateway}"
        yield f"\n{network.certificate_line(found.network)}"
    if found.sizes is not None:
        yield from _sizes_view(found.sizes)
