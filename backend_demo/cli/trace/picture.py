"""The picture of a trace: a table with bars, which fills as the reading moves on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from backend_demo.cli.console import Console
from backend_demo.cli.render import View, print_parts, say
from backend_demo.domain.topics import DEAD_LETTER
from backend_demo.operations.trace.path import ACKNOWLEDGED, ROUTES, TABLES
from backend_demo.text import escaped

if TYPE_CHECKING:
    from backend_demo.operations.trace.document import TraceDocument
    from backend_demo.operations.trace.path import Trace, TracedHop

HEADER = ("hop", "by", "where", "+ms", "ms")
GAP = 2
#: Width of the longest bar, characters: shorter bars say nothing, longer ones lead too far from their line.
BAR_LEAST, BAR_MOST = 10, 60
#: Longer payloads are cut, characters.
PAYLOAD_MAX = 120

#: Side branches of the way; they are indented.
BRANCHES = (ACKNOWLEDGED, *TABLES.values(), *ROUTES.values())


@contextlib.contextmanager
def picture(*, shown: bool) -> Iterator[Callable[[Trace], None]]:
    """Takes each state of a trace. A terminal shows one table that is updated; elsewhere the last state is printed."""
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
        print_parts([table(last[0], console)])


def table(trace: Trace, console: Console) -> Group:
    """The message, and one line per hop: its name, who brought the reading there, where, when, and a bar."""
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
    payload = escaped(trace.hops[0].place.value or "")
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


def _where(hop: TracedHop) -> str:
    place = hop.place
    if place.offset is not None:
        return f"{place.partition}:{place.offset}"
    return place.value or "" if place.topic is None else ""


def bar(hop: TracedHop, total_ms: float, width: int, line: str) -> str:
    """A bar from the time at the previous hop to the time at this one."""
    if hop.after is None:
        return ""
    scale = width / total_ms if total_ms else 0.0
    end = max(1, round(hop.since_start_ms * scale))
    begin = min(end - 1, round((hop.since_start_ms - hop.since_previous_ms) * scale))
    return " " * begin + line * (end - begin)


def view(found: TraceDocument) -> View:
    """The line below the table of a reading that has reached the end of its way."""
    total = f"{found['total_ms']:,.1f} ms"
    if found["outcome"] == "served":
        yield f"\nserved after {total}"
    elif found["outcome"] == "stored":
        yield f"\nstored after {total}; this stack runs without a gateway"
    elif found["outcome"] == "repeated":
        yield (
            "\nserved; the reading was there before, so its average did not change, "
            "and aggregated-data has no record of it"
        )


def note(text: str) -> None:
    """Prints what the user should know meanwhile, on stderr."""
    say(f"[dim]{escape(text)}[/dim]")
