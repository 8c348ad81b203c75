"""How `bdemo trace` prints: a table that fills as the reading comes on, or one JSON document."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from backend_demo.cli import output
from backend_demo.cli.tail_format import readable
from backend_demo.domain.topics import DEAD_LETTER
from backend_demo.operations.trace_document import document
from backend_demo.operations.trace_path import ACKNOWLEDGED, ROUTES, TABLES

if TYPE_CHECKING:
    from backend_demo.operations.trace_path import Hop, Trace

HEADER = ("hop", "by", "where", "+ms", "ms")
GAP = 2
#: Bars shorter than the least tell nothing; longer than the most, they lead too far from their line.
BAR_LEAST, BAR_MOST = 10, 60
PAYLOAD_MAX = 120

#: Side branches of the way: they begin where the line above them stands.
BRANCHES = (ACKNOWLEDGED, *TABLES.values(), *ROUTES.values())


@contextlib.contextmanager
def picture(*, shown: bool) -> Iterator[Callable[[Trace], None]]:
    """Takes each state of a trace: on a terminal they are one table that changes, else the last one is printed."""
    console = Console(highlight=False)
    last: list[Trace] = []
    with contextlib.ExitStack() as stack:
        live: Live | None = None

        def report(trace: Trace) -> None:
            nonlocal live
            last[:] = [trace]
            if not shown or not console.is_terminal:
                return
            if live is None:
                live = stack.enter_context(Live(console=console, auto_refresh=False))
            live.update(table(trace, console), refresh=True)

        yield report
    if shown and last and live is None:
        console.print(table(last[0], console))


def table(trace: Trace, console: Console) -> Group:
    """The message, then a line a hop: where, by whom, when, and a bar from the hop before to this one."""
    rows = [HEADER, *_rows(trace)]
    used = sum(max(map(len, column)) + GAP for column in zip(*rows, strict=True))
    width = min(BAR_MOST, console.width - used)
    line = "━" if (console.encoding or "").startswith("utf") else "-"
    hops = {hop.name: hop for hop in trace.hops}
    grid = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, show_header=False)
    for name in HEADER:
        grid.add_column(justify="right" if name.endswith("ms") else "left", no_wrap=True)
    grid.add_row(*HEADER, style="dim")
    for step, row in zip(trace.way, rows[1:], strict=True):
        hop = hops.get(step.name)
        drawn = [] if hop is None or width < BAR_LEAST else [bar(hop, trace.total_ms, width, line)]
        colour = "red" if step.name == DEAD_LETTER else "green"
        grid.add_row(*row, *(Text(text, colour) for text in drawn), style="" if hop else "dim")
    payload = readable((trace.hops[0].place.value or "").encode())
    cut = f"{payload[:PAYLOAD_MAX]}..." if len(payload) > PAYLOAD_MAX else payload
    heading = Text.assemble((trace.mqtt_topic, "bold"), "  ", cut, "\n", no_wrap=True, overflow="ellipsis")
    return Group(heading, grid)


def _rows(trace: Trace) -> Iterator[tuple[str, ...]]:
    hops = {hop.name: hop for hop in trace.hops}
    for step in trace.way:
        name = f"  {step.name}" if step.name in BRANCHES else step.name
        if hop := hops.get(step.name):
            times = (f"{number:,.1f}" for number in (hop.since_previous_ms, hop.since_start_ms))
            yield name, step.service, _where(hop), *times
        else:
            yield name, step.service, "-", "", ""


def _where(hop: Hop) -> str:
    place = hop.place
    if place.offset is not None:
        return f"{place.partition}:{place.offset}"
    return place.value or "" if place.topic is None else ""


def bar(hop: Hop, total_ms: float, width: int, line: str) -> str:
    """A line from when the reading left the hop before to when it was at this one."""
    if hop.after is None:
        return ""
    scale = width / total_ms if total_ms else 0.0
    end = max(1, round(hop.since_start_ms * scale))
    begin = min(end - 1, round((hop.since_start_ms - hop.since_previous_ms) * scale))
    return " " * begin + line * (end - begin)


def show_end(trace: Trace) -> None:
    """The last line, of a reading that has come to its end."""
    total = f"{trace.total_ms:,.1f} ms"
    if trace.outcome == "served":
        print(f"\nserved after {total}")
    elif trace.outcome == "stored":
        print(f"\nstored after {total}; this stack runs without a gateway")
    elif trace.outcome == "repeated":
        print("\nserved; it was there before, so its average did not change, and aggregated-data has no record of it")


def show_json(trace: Trace) -> None:
    """The whole trace as a document."""
    output.show_json(document(trace))


def note(text: str) -> None:
    """What the user should know meanwhile."""
    output.say(f"[dim]{escape(text)}[/dim]")
