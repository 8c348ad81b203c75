"""The screen of `bdemo top`, and what its keys do."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Footer, Input, Static

from backend_demo.cli.top.panels import DeadLetterList, Header, Readings, Services
from backend_demo.cli.top.screens import Help, Log, Question
from backend_demo.domain.names import NAMED_MIN
from backend_demo.errors import BdemoError
from backend_demo.operations.observe.overview import overview
from backend_demo.operations.observe.samples import Scrape
from backend_demo.operations.observe.sensors import SensorHistory, parse_sensors
from backend_demo.operations.observe.view import Overview
from backend_demo.text import escaped

if TYPE_CHECKING:
    from textual.events import Key
    from textual.widgets import DataTable

    from backend_demo.cli.top.source import TopSource
    from backend_demo.stack.base import ServiceStatus

#: Time until the first rates, seconds.
FIRST_S = 1.0
#: Time between questions to the stack, which are expensive and whose answers change slowly, seconds.
STATUS_EVERY_S = 5.0
#: Share of the time that asking for the newest readings may take: with very many sensors it is done less often.
READINGS_SHARE = 0.05
#: Number of intervals that rates cover: the aggregation acknowledges only once per second.
INTERVALS = 3


class Top(App[None]):
    """Shows the services, dead letters and newest readings of a source, and keeps them up to date."""

    TITLE = "bdemo top"
    ENABLE_COMMAND_PALETTE = False
    CSS_PATH = "top.tcss"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "restart", "Restart"),
        Binding("l", "log", "Log"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("space", "pause", "Pause"),
        Binding("t", "theme", "Theme"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(self, source: TopSource, *, interval_s: float = 2.0, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._source, self._interval_s = source, interval_s
        self._scrapes: deque[Scrape[str]] = deque(maxlen=INTERVALS + 1)
        self._seen: Sequence[ServiceStatus] = ()
        self._newest = SensorHistory()
        self.view: Overview | None = None
        """The overview on the screen."""
        self._dead_letters_total: int | None = None
        self._problem = ""
        self._going = asyncio.Event()
        self._restarting: set[str] = set()
        self._quitting = False
        self._header = Header(source.place)
        self._services = Services()
        self._error = Static(id="error")
        self._dead = DeadLetterList()
        self._readings = Readings(self._newest, clock)
        self._filter = Input(placeholder="sensors: 7, 1-20, kitchen; empty for all", id="filter", disabled=True)

    def compose(self) -> ComposeResult:
        """Puts together the screen, from top to bottom."""
        yield self._header
        yield self._services
        yield self._error
        with Horizontal(id="below"):
            yield self._dead
            yield self._readings
        yield self._filter
        yield Footer()

    def on_mount(self) -> None:
        """Starts to watch."""
        self._going.set()
        self._services.focus()
        for watch in (self._watch_metrics, self._watch_services, self._watch_readings, self._watch_dead_letters):
            self.run_worker(watch())

    # -- watching

    async def _watch_metrics(self) -> None:
        while True:
            await self._going.wait()
            try:
                self._scrapes.append(await asyncio.to_thread(self._source.scrape))
                self._problem = ""
            except BdemoError as problem:
                self._scrapes.clear()
                self._problem = escaped(problem.message)
            self._show()
            await asyncio.sleep(min(FIRST_S, self._interval_s) if len(self._scrapes) == 1 else self._interval_s)

    async def _watch_services(self) -> None:
        parent = os.getppid()
        while True:
            await self._going.wait()
            if os.getppid() != parent:
                self.exit()  # nobody is watching: the server of --web was killed
            try:
                self._seen = await asyncio.to_thread(self._source.services)
            except BdemoError as problem:
                self._problem = self._problem or escaped(problem.message)
            self._show()
            await asyncio.sleep(STATUS_EVERY_S)

    async def _watch_readings(self) -> None:
        while True:
            await self._going.wait()
            begin = time.monotonic()
            try:
                readings = await asyncio.to_thread(self._source.latest)
                if readings and readings[-1].sensor >= NAMED_MIN:
                    numbers = [reading.sensor for reading in readings]
                    self._newest.names = await asyncio.to_thread(self._source.names, numbers)
                self._newest.see(readings)
                self._readings.show()
            except BdemoError as problem:
                self._newest.see(())
                self._readings.show(problem.message)
            await asyncio.sleep(max(self._interval_s, (time.monotonic() - begin) / READINGS_SHARE))

    async def _watch_dead_letters(self) -> None:
        while True:
            await self._going.wait()
            self._dead_letters_total = await asyncio.to_thread(self._source.dead_letters)
            self._show()
            await asyncio.sleep(STATUS_EVERY_S)

    def _show(self) -> None:
        if self._scrapes and (self._seen or self._problem) and self._going.is_set():
            now = self._scrapes[-1]
            before = self._scrapes[0] if len(self._scrapes) > 1 else Scrape(now.time, {})
            view = overview(before, now, self._seen, dead_letters_total=self._dead_letters_total)
            shown = [
                replace(service, state="restarting") if service.name in self._restarting else service
                for service in view.services
                if service.state != "off"
            ]
            self.view = view
            self._services.show(shown)
            self._dead.show(view.dead_letters, view.dead_letters_total)
        elif self._problem and not self._scrapes:
            self.view = None
            self._services.show(())
            self._dead.show((), None)
        self._show_header()
        self._show_error()

    def _show_header(self) -> None:
        self._header.show(self.view, paused=not self._going.is_set(), problem=self._problem)

    def _show_error(self) -> None:
        """Shows the last line of the selected service's error, when it is not ready."""
        selected = self._services.selected
        text = selected.error if selected and selected.state != "ready" else None
        self._error.display = bool(text)
        if selected and text:
            self._error.update(Text(escaped(f"{selected.name}: {text.splitlines()[-1]}")))  # brackets are not markup

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Over a log or a question, only the keys work that mean the same everywhere."""
        return len(self.screen_stack) == 1 or action not in ("restart", "log", "filter", "pause")

    def on_data_table_row_highlighted(self) -> None:
        """Shows the error of the service that is selected now."""
        self._show_error()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Opens the log of the service, on Enter."""
        self.action_log()

    def on_resize(self) -> None:
        """Draws again for the new size."""
        self._show()

    def action_restart(self) -> None:
        """Restarts the selected service, after a question."""
        selected = self._services.selected
        if selected is None:
            return
        name = selected.name

        def restart(confirmed: bool | None) -> None:
            if confirmed and name not in self._restarting:
                self.run_worker(self._restart(name))

        self.push_screen(Question(f"Restart {name}? Nothing is lost; readings wait meanwhile."), restart)

    async def _restart(self, name: str) -> None:
        self._restarting.add(name)
        self._show()
        try:
            await asyncio.to_thread(self._source.restart, name)
            self.notify(f"{name} was restarted")
        except BdemoError as problem:
            self.notify(escaped(f"{problem.message}\n{problem.hint}", keep="\n"), severity="error", markup=False)
        finally:
            self._restarting.discard(name)
            if self._quitting and not self._restarting:
                self.exit()

    def action_log(self) -> None:
        """Opens the log of the selected service."""
        selected = self._services.selected
        if selected is not None:
            self.push_screen(Log(self._source, selected.name))

    def action_filter(self) -> None:
        """Opens the filter."""
        self._filter.disabled = False
        self._filter.add_class("open")
        self._filter.value = str(self._newest.selection)
        self._filter.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Shows the sensors that were typed in."""
        try:
            self._newest.choose(parse_sensors(event.value))
        except BdemoError as problem:
            self.notify(escaped(f"{problem.message}; {problem.hint}"), severity="error", markup=False)
            return
        self._close_filter()
        self._readings.show()

    def on_key(self, event: Key) -> None:
        """Closes the filter on Escape, and leaves it as it was."""
        if event.key == "escape" and self._filter.has_class("open"):
            self._close_filter()

    def _close_filter(self) -> None:
        self._filter.disabled = True
        self._filter.remove_class("open")
        self._services.focus()

    def action_pause(self) -> None:
        """Pauses or resumes."""
        if self._going.is_set():
            self._going.clear()
        else:
            self._scrapes.clear()  # a rate over the pause would mean little
            self._going.set()
        self._show_header()

    def action_theme(self) -> None:
        """Switches between light and dark."""
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"

    def action_help(self) -> None:
        """Shows the keys."""
        self.push_screen(Help())

    async def action_quit(self) -> None:
        """Ends, after the restarts under way: a service must not be left stopped."""
        self._quitting = True
        if self._restarting:
            self.notify(f"waiting for {', '.join(sorted(self._restarting))} to restart")
        else:
            self.exit()
