"""The parts of `bdemo top`'s screen: services, dead letters, newest readings."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.text import Text
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import DataTable, Static

from backend_demo.cli.top.columns import ServiceColumn, columns_for, flow, sensors_line
from backend_demo.cli.top.numbers import count, rate, seconds, sparkline
from backend_demo.operations.observe.sensors import SensorHistory
from backend_demo.operations.observe.view import Overview, RefusedCount, ServiceView
from backend_demo.stack.base import HEALTHY
from backend_demo.text import duration, escaped

#: Longest name that is shown in full, characters.
TITLE_MAX = 24


class Services(DataTable[Text]):
    """One row per service; one is selected."""

    def __init__(self) -> None:
        super().__init__(cursor_type="row", cell_padding=0, id="services")
        self._columns: list[ServiceColumn] = []
        self._services: Sequence[ServiceView] = ()

    @property
    def selected(self) -> ServiceView | None:
        """The service under the cursor."""
        return self._services[self.cursor_row] if 0 <= self.cursor_row < len(self._services) else None

    def show(self, services: Sequence[ServiceView]) -> None:
        """Shows these services; the cursor stays on its own."""
        columns = columns_for(self.app.size.width)
        names = [service.name for service in services]
        if columns != self._columns or names != [service.name for service in self._services]:
            self._lay_out(columns, services)
        else:
            for before, service in zip(self._services, services, strict=True):
                if service != before:
                    for column in columns:
                        self.update_cell(service.name, column.title, _cell(column, service))
        self._columns, self._services = columns, services

    def _lay_out(self, columns: list[ServiceColumn], services: Sequence[ServiceView]) -> None:
        kept = self.selected.name if self.selected else ""
        self.clear(columns=True)
        for column in columns:
            title = Text(column.title, justify="left" if column.left else "right")
            self.add_column(title, width=column.width, key=column.title)
        for place, service in enumerate(services):
            self.add_row(*(_cell(column, service) for column in columns), key=service.name)
            if service.name == kept:
                self.move_cursor(row=place)


def _cell(column: ServiceColumn, service: ServiceView) -> Text:
    return Text(column.text(service), style=column.style(service), justify="left" if column.left else "right")


#: Age from which a reading is dimmed, seconds.
OLD_S = 60.0
#: Width from which the list shows rates, characters.
WIDE = 38


class DeadLetterList(Static):
    """Dead letters by stage and reason since the services started, and how many there are in all."""

    def __init__(self) -> None:
        super().__init__(id="dead")

    def show(self, found: Sequence[RefusedCount], total: int | None) -> None:
        """Shows these, as many as fit. `total`: all that Kafka has; None: not known."""
        self.border_title = f"dead letters: {total:,}" if total else "dead letters"
        if not found:
            self.update(Text("none since the start" if total else "none", "dim"))
            return
        lines = []
        for each in found[: max(1, self.size.height)]:
            line = f"{each.service:<12}{each.reason:<8}{count(each.count):>7}"
            now = f"{rate(each.per_s)}/s" if each.per_s and self.size.width >= WIDE else ""
            lines.append(Text.assemble((line, "bold red" if each.per_s else ""), (f"{now:>10}", "bold red")))
        self.update(Text("\n").join(lines))


class Readings(ScrollView, can_focus=True):
    """One line per sensor, drawn only when visible: there may be thousands."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"readings--sensor", "readings--old", "readings--bars"}

    def __init__(self, newest: SensorHistory, clock: Callable[[], float]) -> None:
        super().__init__(id="readings")
        self._newest, self._clock = newest, clock
        self._problem = "asking the gateway"
        self._now = 0.0
        self._digits = 1
        """Width of the longest name or number."""

    def show(self, problem: str = "") -> None:
        """Draws the readings again. `problem`: why there are none."""
        self._problem = escaped(problem)
        self._now = self._clock()
        total = len(self._newest.sensors)
        chosen = str(self._newest.selection)
        self.border_title = f"sensors {chosen}, °C: {total:,}" if chosen else f"{total:,} sensors, °C"
        last = self._newest.sensors[-1:]
        shown = self._newest.sensors if self._newest.names else last  # by number: the last one is the longest
        self._digits = max((cell_len(self._title(reading.sensor)) for reading in shown), default=1)
        self.virtual_size = Size(0, total)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draws one visible line."""
        width = self.scrollable_content_region.width
        place = y + self.scroll_offset.y
        if place >= len(self._newest.sensors):
            return self._message(y, width)
        view = self._newest.view(self._newest.sensors[place])
        since = self._now - view.timestamp
        sensor, bars = (self.get_component_rich_style(f"readings--{part}") for part in ("sensor", "bars"))
        old = self.get_component_rich_style("readings--old") if since > OLD_S else self.rich_style
        title = self._title(view.sensor)
        number = f"{' ' * (self._digits - cell_len(title))}{title} "
        rest = f"{view.value:>8.2f} {duration(since, units=1):>7}  "
        line = sparkline(view.values, width - cell_len(number) - len(rest))
        strip = Strip([Segment(number, sensor), Segment(rest, old), Segment(line, bars)])
        return strip.adjust_cell_length(width, self.rich_style)

    def _title(self, sensor: int) -> str:
        name = self._newest.names.get(sensor)
        return str(sensor) if name is None else escaped(name)[:TITLE_MAX]

    def _message(self, y: int, width: int) -> Strip:
        lines: list[str] = []
        if not self._newest.sensors:
            text = self._problem or ("unknown sensor" if str(self._newest.selection) else "none yet: bdemo simulate")
            lines = textwrap.wrap(text, max(1, width))
        segment = Segment(lines[y] if y < len(lines) else "", self.get_component_rich_style("readings--old"))
        return Strip([segment]).adjust_cell_length(width, self.rich_style)


class Header(Static):
    """The kind of stack, the number of sensors, the time a reading takes; and the pipeline below."""

    def __init__(self, place: str) -> None:
        super().__init__(id="header")
        self._place = place

    def show(self, view: Overview | None, *, paused: bool = False, problem: str = "") -> None:
        """Shows this view. `problem`: why it is not current."""
        width = self.size.width or self.app.size.width
        parts = [Text(self._place, "bold")]
        if problem:
            parts.append(Text(problem, "bold red"))
        elif view is not None:
            down = [service.name for service in view.services if service.state not in HEALTHY]
            parts += [Text(f"{', '.join(down)}: not ready", "bold red")] if down else []
            parts.append(Text(sensors_line(view)))
            parts.append(_end_to_end(view))
        clock = Text("PAUSED", "bold yellow") if paused else Text(_clock(view))
        line = Text("  ").join(part for part in parts if part)
        line.truncate(width - len(clock) - 1, overflow="ellipsis", pad=True)
        line.append_text(Text(" ") + clock)
        above, below = flow(view.hops, width) if view else ("", "")
        text = Text("\n").join([line, Text(above, "dim"), Text(below, "bold")])
        text.no_wrap, text.overflow = True, "ellipsis"  # on a narrow screen
        self.update(text)


def _end_to_end(view: Overview) -> Text:
    latency = view.end_to_end["average"]
    if latency.p50_s is None:
        return Text("")
    return Text(f"end to end p50 {seconds(latency.p50_s)}, p99 {seconds(latency.p99_s)}")


def _clock(view: Overview | None) -> str:
    return time.strftime("%H:%M:%S", time.localtime(view.time)) if view else ""
