"""What `bdemo top` opens over its screen: a log, a question, the help."""

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

if TYPE_CHECKING:
    from backend_demo.cli.top_source import Source
    from backend_demo.stack.base import LogLine

#: The newest lines that a log begins with, and is compared by.
LINES = 300
#: A log is read again after a second, or later where that is dear: it may take this share of the time.
LOOK_EVERY_S, SHARE = 1.0, 0.05


class Log(Screen[None]):
    """The log of one service, followed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,l", "app.pop_screen", "Back"),
        Binding("end", "newest", "Newest"),
    ]

    def __init__(self, source: Source, service: str) -> None:
        super().__init__()
        self._source, self._service = source, service
        self._shown: Sequence[LogLine] = ()

    def compose(self) -> ComposeResult:
        """The log above the keys."""
        log = RichLog(max_lines=5000, wrap=True, highlight=False, markup=False, auto_scroll=False)
        log.border_title = f"log of {self._service}"
        yield log
        yield Footer()

    def on_mount(self) -> None:
        """Begins to read."""
        self.run_worker(self._follow())

    def action_newest(self) -> None:
        """Goes to the newest line, and stays there."""
        self.query_one(RichLog).scroll_end(animate=False)

    async def _follow(self) -> None:
        log = self.query_one(RichLog)
        while True:
            begin = time.monotonic()
            try:
                lines = await asyncio.to_thread(self._source.logs, self._service, LINES)
            except BdemoError as problem:
                log.write(Text(f"{problem.message}; {problem.hint}", "red"))
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
    """The lines of `now` that follow those of `before`: both are the newest of one log, some of which are in both."""
    if now[: len(before)] == before:
        return now[len(before) :]
    for begin in range(len(now), 0, -1):
        known = min(begin, len(before))
        if known and now[begin - known : begin] == before[-known:]:
            return now[begin:]
    return now


class Question(ModalScreen[bool]):
    """Yes or no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The question, and how to answer."""
        with Vertical(classes="dialog"):
            yield Static(Text.assemble(self._text, "\n\n", ("y", "bold"), " yes   ", ("n", "bold"), " no"))

    def action_answer(self, answer: bool) -> None:
        """Gives it."""
        self.dismiss(answer)


HELP = """\
↑ ↓      select a service           r        restart it
l Enter  its log                    /        filter sensors: 7, 1-20
Tab      to the readings            space    pause
t        light or dark              q        quit

in/s     records taken a second; of the gateway, requests
lag      records that wait; oldest: how long the first one has
p50 p99  from a record's arrival until its outcome is durable;
         of the gateway, seconds of a request
dead     dead letters since the service started

Rates are about the last seconds. Readings come from the gateway."""


class Help(ModalScreen[None]):
    """The keys, and what the columns mean."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter,space", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        """The text."""
        with Vertical(classes="dialog"):
            yield Static(HELP, markup=False)
