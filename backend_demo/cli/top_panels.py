"""The parts of `bdemo top`'s screen: services, dead letters, newest readings."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import DataTable, Static

from backend_demo.cli import top_show
from backend_demo.operations.newest import Newest
from backend_demo.operations.overview import DeadLetters, Overview, ServiceView


class Services(DataTable[Text]):
    """A row a service that runs or should; one is selected."""

    def __init__(self) -> None:
        super().__init__(cursor_type="row", cell_padding=0, id="services")
        self._columns: list[top_show.Column] = []
        self._services: Sequence[ServiceView] = ()

    @property
    def selected(self) -> ServiceView | None:
        """The service under the cursor."""
        return self._services[self.cursor_row] if 0 <= self.cursor_row < len(self._services) else None

    def show(self, services: Sequence[ServiceView]) -> None:
        """Shows these; the cursor stays on its service."""
        columns = top_show.columns(self.app.size.width)
        names = [service.name for service in services]
        if columns != self._columns or names != [service.name for service in self._services]:
            self._lay_out(columns, services)
        else:
            for before, service in zip(self._services, services, strict=True):
                if service != before:
                    for column in columns:
                        self.update_cell(service.name, column.title, _cell(column, service))
        self._columns, self._services = columns, services

    def _lay_out(self, columns: list[top_show.Column], services: Sequence[ServiceView]) -> None:
        kept = self.selected.name if self.selected else ""
        self.clear(columns=True)
        for column in columns:
            title = Text(column.title, justify="left" if column.left else "right")
            self.add_column(title, width=column.width, key=column.title)
        for place, service in enumerate(services):
            self.add_row(*(_cell(column, service) for column in columns), key=service.name)
            if service.name == kept:
                self.move_cursor(row=place)


def _cell(column: top_show.Column, service: ServiceView) -> Text:
    return Text(column.text(service), style=column.style(service), justify="left" if column.left else "right")


#: A reading older than this is drawn dim, seconds.
OLD_S = 60.0
#: Columns from which a list has room for rates.
WIDE = 38


class DeadLetterList(Static):
    """Dead letters by stage and reason."""

    def __init__(self) -> None:
        super().__init__(id="dead")

    def show(self, found: Sequence[DeadLetters]) -> None:
        """Shows these, the most first, as far as there is room."""
        total = sum(each.count for each in found)
        self.border_title = f"dead letters: {total:,}" if total else "dead letters"
        if not found:
            self.update(Text("none", "dim"))
            return
        lines = []
        for each in found[: max(1, self.size.height)]:
            line = f"{each.service:<12}{each.reason:<8}{top_show.count(each.count):>7}"
            now = f"{top_show.rate(each.per_s)}/s" if each.per_s and self.size.width >= WIDE else ""
            lines.append(Text.assemble((line, "bold red" if each.per_s else ""), (f"{now:>10}", "bold red")))
        self.update(Text("\n").join(lines))


class Readings(ScrollView, can_focus=True):
    """A line a sensor, drawn only where it is seen: there may be thousands."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"readings--sensor", "readings--old", "readings--bars"}

    def __init__(self, newest: Newest, clock: Callable[[], float]) -> None:
        super().__init__(id="readings")
        self._newest, self._clock = newest, clock
        self._problem = "asking the gateway"
        self._now = 0.0
        self._digits = 1
        """Of the largest sensor number."""

    def show(self, problem: str = "") -> None:
        """Draws anew. `problem`: why there is nothing to draw."""
        self._problem = problem
        self._now = self._clock()
        count = len(self._newest.sensors)
        chosen = str(self._newest.selection)
        self.border_title = f"sensors {chosen}, °C: {count:,}" if chosen else f"{count:,} sensors, °C"
        self._digits = max((len(str(reading.sensor)) for reading in self._newest.sensors[-1:]), default=1)
        self.virtual_size = Size(0, count)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of what is seen."""
        width = self.scrollable_content_region.width
        place = y + self.scroll_offset.y
        if place >= len(self._newest.sensors):
            return self._message(y, width)
        view = self._newest.view(self._newest.sensors[place])
        since = self._now - view.timestamp
        sensor, bars = (self.get_component_rich_style(f"readings--{part}") for part in ("sensor", "bars"))
        old = self.get_component_rich_style("readings--old") if since > OLD_S else self.rich_style
        number, rest = f"{view.sensor:>{self._digits}} ", f"{view.value:>8.2f} {top_show.age(since):>7}  "
        line = top_show.sparkline(view.values, width - len(number) - len(rest))
        strip = Strip([Segment(number, sensor), Segment(rest, old), Segment(line, bars)])
        return strip.adjust_cell_length(width, self.rich_style)

    def _message(self, y: int, width: int) -> Strip:
        lines: list[str] = []
        if not self._newest.sensors:
            text = self._problem or ("no such sensor" if str(self._newest.selection) else "none yet: bdemo simulate")
            lines = textwrap.wrap(text, max(1, width))
        segment = Segment(lines[y] if y < len(lines) else "", self.get_component_rich_style("readings--old"))
        return Strip([segment]).adjust_cell_length(width, self.rich_style)


class Header(Static):
    """What is looked at, how many sensors there are, how long a reading takes; below it the pipeline."""

    def __init__(self, place: str) -> None:
        super().__init__(id="header")
        self._place = place

    def show(self, view: Overview | None, *, paused: bool = False, problem: str = "") -> None:
        """Shows this; `problem`: why it is not of now."""
        width = self.size.width or self.app.size.width
        parts = [Text(self._place, "bold")]
        if problem:
            parts.append(Text(problem, "bold red"))
        elif view is not None:
            down = [service.name for service in view.services if service.state not in ("ready", "off")]
            parts += [Text(f"{', '.join(down)}: not ready", "bold red")] if down else []
            parts.append(Text(top_show.sensors_line(view)))
            parts.append(_end_to_end(view))
        clock = Text("PAUSED", "bold yellow") if paused else Text(_clock(view))
        line = Text("  ").join(part for part in parts if part)
        line.truncate(width - len(clock) - 1, overflow="ellipsis", pad=True)
        line.append_text(Text(" ") + clock)
        above, below = top_show.flow(view.hops, width) if view else ("", "")
        text = Text("\n").join([line, Text(above, "dim"), Text(below, "bold")])
        text.no_wrap, text.overflow = True, "ellipsis"  # on a narrow screen
        self.update(text)


def _end_to_end(view: Overview) -> Text:
    latency = view.end_to_end["average"]
    if latency.p50_s is None:
        return Text("")
    return Text(f"end to end p50 {top_show.seconds(latency.p50_s)}, p99 {top_show.seconds(latency.p99_s)}")


def _clock(view: Overview | None) -> str:
    return time.strftime("%H:%M:%S", time.localtime(view.time)) if view else ""
