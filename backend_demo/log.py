"""The set-up of logging: one line an event on stderr, which the stack keeps and rotates."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

#: Silent in normal operation, thousands of lines a minute in an outage: one line in this many seconds each.
RATE_LIMITED = ("aiokafka", "faust", "mode", "asyncio", "paho")
RATE_LIMIT_S = 10.0


def set_up(level: str) -> None:
    """Sends structlog and stdlib records alike to stderr, at `level` and above."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0),
            ],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in RATE_LIMITED:
        # their debug calls cost 16 % of the CPU at 1,000 readings/s, and an outage logs 25,000 lines a worker
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.handlers[:] = [handler]
        logger.propagate = False
    handler.addFilter(RateLimit())


class RateLimit(logging.Filter):
    """Lets one record a library logger and line of code through in `RATE_LIMIT_S`."""

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(RATE_LIMITED):
            return True
        place = (record.pathname, record.lineno)
        if record.created < self._next.get(place, 0.0):
            return False
        self._next[place] = record.created + RATE_LIMIT_S
        return True
