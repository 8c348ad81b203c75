"""Screens that `bdemo top` opens over its own: a log, a question, the help."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, RichLog, Static

from backend_demo.errors import BdemoError
from backend_demo.log_event import readable, time_text
from backend_demo.text import escaped

if TYPE_CHECKING:
    from backend_demo.cli.top.source import TopSource
    from backend_demo.stack.base import LogLine

#: Newest lines that are read of a log each time.
LINES = 300
#: A log is read again after a second, or later when reading takes more than this share of the time.
LOOK_EVERY_S, SHARE = 1.0, 0.05


class Log(Screen[None]):
    """The log of one service, followed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,l", "app.pop_screen", "Back"),
        Binding("end", "newest", "Newest"),
    ]

    def __init__(self, source: TopSource, service: str) -> None:
        super().__init__()
        self._source, self._service = source, service
        self._shown: Sequence[LogLine] = ()

    def compose(self) -> ComposeResult:
        """Puts the log above the keys."""
        log = RichLog(max_lines=5000, wrap=True, highlight=False, markup=False, auto_scroll=False)
        log.border_title = f"log of {self._service}"
        yield log
        yield Footer()

    def on_mount(self) -> None:
        """Starts to read."""
        self.run_worker(self._follow())

    def action_newest(self) -> None:
        """Scrolls to the newest line and stays there."""
        self.query_one(RichLog).scroll_end(animate=False)

    async def _follow(self) -> None:
        log = self.query_one(RichLog)
        while True:
            begin = time.monotonic()
            try:
                lines = await asyncio.to_thread(self._source.logs, self._service, LINES)
            except BdemoError as problem:
                log.write(Text(escaped(f"{problem.message}; {problem.hint}"), "red"))
                return
            at_end = log.is_vertical_scroll_end
            for line in added(self._shown, lines):
                for parts in readable(line.text, today=time_text(time.time())[:10]):
                    log.write(Text.assemble(*parts), scroll_end=at_end)
            if not lines and not self._shown:
                log.border_subtitle = "empty so far"
            self._shown = lines or self._shown
            await asyncio.sleep(max(LOOK_EVERY_S, (time.monotonic() - begin) / SHARE))


def added(before: Sequence[LogLine], now: Sequence[LogLine]) -> Sequence[LogLine]:
    """The lines of `now` that come after those of `before`. Both are the newest lines of one log, and may overlap."""
    if now[: len(before)] == before:
        return now[len(before) :]
    for begin in range(len(now), 0, -1):
        known = min(begin, len(before))
        if known and now[begin - known : begin] == before[-known:]:
            return now[begin:]
    return now


class Question(ModalScreen[bool]):
    """A question with the answers yes and no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Puts the question above the answers."""
        with Vertical(classes="dialog"):
            yield Static(Text.assemble(self._text, "\n\n", ("y", "bold"), " yes   ", ("n", "bold"), " no"))

    def action_answer(self, answer: bool) -> None:
        """Closes the question with this answer."""
        self.dismiss(answer)


HELP = """\
↑ ↓      select a service           r        restart it
l Enter  show its log                    /        filter sensors: 7, 1-20
Tab      to the readings            space    pause
t        light or dark              q        quit

in/s     records read per second; for the gateway, requests
lag      records waiting; oldest: how long the first one has waited
p50 p99  time from a record's arrival until its outcome is durable;
         for the gateway, time of a request
dead     dead letters since the service started

Rates cover the last few seconds. Readings come from the gateway."""


class Help(ModalScreen[None]):
    """The keys, and what the columns mean."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter,space", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        """Puts the text into a box."""
        with Vertical(classes="dialog"):
            yield Static(HELP, markup=False)
