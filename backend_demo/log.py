"""The set-up of logging: one line per event on stderr, which the stack stores and rotates."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable, MutableMapping
from typing import Any, Literal

from backend_demo import log_event
from backend_demo.errors import BdemoError
from backend_demo.imports import without
from backend_demo.log_event import LEVELS, Event
from backend_demo.text import without_passwords

with without("rich"):  # for coloured tracebacks, which we do not use: it costs each service 50 ms at start and 3 MB
    import structlog

Form = Literal["json", "short"]

#: Libraries that are silent in normal operation and log thousands of lines a minute in an outage. Each place in their
#: code may log one line per RATE_LIMIT_S (seconds).
RATE_LIMITED = ("aiokafka", "faust", "mode", "asyncio", "paho", "opentelemetry")
RATE_LIMIT_S = 10.0

QUIET = {
    "mode.timers": logging.ERROR,  # warns when a commit takes longer than the commit interval, which is harmless
    "alembic.runtime.plugins": logging.WARNING,  # logs a list of its plugins
    "httpx": logging.WARNING,  # logs every request
}

#: Longest traceback, characters. Docker breaks lines that are longer than 16 KiB.
TRACEBACK_CHARACTERS = 10_000

_ANSI = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def set_up(level: str, *, form: Form | Literal["auto"] = "auto", service: str = "") -> Form:
    """Sends events, other libraries' records, warnings and uncaught exceptions to stderr, at `level` and above.

    `auto`: short lines on a terminal, JSON elsewhere. Returns the form chosen. `service`: a field of every event.
    """
    chosen: Form = ("short" if sys.stderr.isatty() else "json") if form == "auto" else form
    threshold = getattr(logging, level.upper())
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(threshold)
    handler.addFilter(RateLimit())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.processors.format_exc_info, Renderer(service, _rendering(chosen))]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in RATE_LIMITED:
        # their debug calls cost 16 % of the CPU at 1,000 readings/s, and an outage logs 25,000 lines per worker
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(threshold, least))
    logging.captureWarnings(True)
    _catch_uncaught()
    return chosen


def failed(problem: Exception) -> int:
    """Logs the error that ended this process (with its traceback if it is a bug); returns the exit code."""
    log = structlog.get_logger(__name__)
    if isinstance(problem, BdemoError):
        log.error("failed", code=problem.code, error=problem.message, hint=problem.hint)
        return problem.exit_code
    log.error("failed", exc_info=problem)
    return BdemoError.exit_code


class Renderer:
    """The last of structlog's processors: it turns an event into a line."""

    def __init__(self, service: str, line_of: Callable[[Event], str]) -> None:
        self._fixed = {"service": service} if service else {}
        self._line_of = line_of

    def __call__(self, logger: object, method: str, found: MutableMapping[str, Any]) -> str:
        record: logging.LogRecord = found.pop("_record")
        found.pop("_from_structlog")
        event: dict[str, Any] = {
            "time": log_event.time_text(record.created),
            "level": LEVELS[min(max(record.levelno, logging.DEBUG), logging.CRITICAL) // 10 - 1],
            "event": str(found.pop("event")),
            **self._fixed,
            "logger": record.name,
            "pid": record.process,
        }
        exception = found.pop("exception", None)
        event.update({name: value for name, value in found.items() if name not in event})
        if exception:
            event["exception"] = _clipped(str(exception))
        return without_passwords(self._line_of(event))


def _rendering(form: Form) -> Callable[[Event], str]:
    if form == "json":
        return log_event.to_json
    return _coloured if _has_colours() else _plain


def _plain(event: Event) -> str:
    lines = log_event.short(event, today=event["time"][:10])
    return "\n".join("".join(text for text, _ in parts) for parts in lines)


def _coloured(event: Event) -> str:
    lines = log_event.short(event, today=event["time"][:10])
    return "\n".join("".join(_painted(text, style) for text, style in parts) for parts in lines)


def _painted(text: str, style: str) -> str:
    return f"\033[{';'.join(_ANSI[word] for word in style.split())}m{text}\033[0m" if style else text


def _has_colours() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _clipped(text: str) -> str:
    half = TRACEBACK_CHARACTERS // 2
    return text if len(text) <= TRACEBACK_CHARACTERS else f"{text[:half]}\n[...]\n{text[-half:]}"


def _catch_uncaught() -> None:
    """Turns uncaught exceptions, also those of threads, into events. A crash of the interpreter stays plain text."""
    log = structlog.get_logger(__name__)

    def uncaught(kind: type[BaseException], problem: BaseException, trace: Any) -> None:
        if issubclass(kind, Exception):
            log.critical("uncaught exception", exc_info=(kind, problem, trace))
        else:
            sys.__excepthook__(kind, problem, trace)

    def in_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None and not isinstance(found.exc_value, SystemExit):
            name = found.thread.name if found.thread else "?"
            log.critical("uncaught exception", thread=name, exc_info=found.exc_value)

    def unraisable(found: sys.UnraisableHookArgs) -> None:
        log.error("ignored exception", within=repr(found.object), exc_info=found.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, in_thread, unraisable
    faulthandler.enable()


class RateLimit(logging.Filter):
    """Passes a library's warnings and errors only, and at most one per line of code in `RATE_LIMIT_S`."""

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # Faust logs a service's life cycle under the name of its class's module, which may be one of ours
        in_our_name = record.name.startswith(__package__) and not hasattr(record, "_logger")
        if not (in_our_name or record.name.startswith(RATE_LIMITED)):
            return True
        place = (record.pathname, record.lineno)
        if record.levelno < logging.WARNING or record.created < self._next.get(place, 0.0):
            return False
        self._next[place] = record.created + RATE_LIMIT_S
        return True
