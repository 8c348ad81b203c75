"""Reads the log files of services: the newest lines merged by time, then new ones, across rotations."""

from __future__ import annotations

import contextlib
import heapq
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from backend_demo.log_event import LEVELS, Event, from_json, level_of, summary
from backend_demo.stack.base import ALL_LINES, LogFilter, LogLine

POLL_S = 0.2

#: The time of a line: `2026-11-24T11:33:56.359Z`, in some logs with a blank, slashes or a comma; always UTC.
_TIME = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,6}))?")
_ERROR = re.compile(r"\b(error|fatal|panic|exception|critical|traceback|[a-z]*error:)", re.IGNORECASE)


def time_of(line: str) -> float | None:
    """When a line was written, epoch seconds; None when it has no time (the second line of a traceback)."""
    match = _TIME.search(line, 0, 200)
    if match is None:
        return None
    *parts, fraction = match.groups()
    try:
        second = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        return None
    return second.timestamp() + float(f"0.{fraction or 0}")


def newest(files: Mapping[str, Path], count: int, wanted: LogFilter = ALL_LINES) -> list[LogLine]:
    """The newest `count` lines of these services' logs, oldest first; a line without a time follows its predecessor."""
    tails = (_tail(service, path, count, wanted) for service, path in files.items())
    return list(deque(heapq.merge(*tails, key=lambda line: line.time), maxlen=count)) if count else []


def follow(files: Mapping[str, Path], wanted: LogFilter = ALL_LINES) -> Iterator[LogLine]:
    """The lines that are written after this call, without an end."""
    return _coming([Follower(service, path) for service, path in files.items()], wanted)


def _coming(followers: list[Follower], wanted: LogFilter) -> Iterator[LogLine]:
    while True:
        lines = [line for follower in followers for line in follower.read()]
        yield from sorted(filter(wanted, lines), key=lambda line: line.time)
        if not lines:
            time.sleep(POLL_S)


def last_errors(path: Path, count: int = 3) -> str | None:
    """The newest lines about an error, else the newest lines; None when the log is empty."""
    return telling((line.text for line in _tail("", path, 60)), count)


def telling(lines: Iterable[str], count: int = 3) -> str | None:
    """The last of these lines that are about an error, else the last lines; None when there are none.

    An event is shown without its data, followed by its cause on a line of its own.
    """
    errors: list[list[str]] = []
    written: list[list[str]] = []
    for line in lines:
        event = from_json(line)
        if event is None:
            text, is_error = [line.rstrip()] if line.strip() else [], bool(_ERROR.search(line))
        else:
            shown = {name: value for name, value in event.items() if name not in ("error", "hint")}
            text, is_error = [summary(shown), *_cause(event)], event["level"] in LEVELS[2:]
        written.append(text)
        if is_error:
            errors.append(text)
    last: list[str] = []
    for text in reversed(errors or written):
        if last and len(last) + len(text) > count:
            break
        last = [*text, *last]
    return "\n".join(last) or None


def _cause(event: Event) -> list[str]:
    # the last line of a traceback; in a group of exceptions it stands inside a frame of lines
    text = str(event.get("error") or event.get("exception") or "")
    return [line for each in text.splitlines() if (line := each.strip(" |+-"))][-1:]


def with_levels(lines: Iterable[LogLine], before: str = "info") -> Iterator[LogLine]:
    """These lines of one service, each with its level; `before` is the level of the line before the first."""
    for line in lines:
        before = level_of(line.text) or before
        yield replace(line, level=before)


def _tail(service: str, path: Path, count: int, wanted: LogFilter = ALL_LINES) -> Iterable[LogLine]:
    files = [path, *(path.with_name(f"{path.name}.{number}") for number in (1, 2))]
    if wanted != ALL_LINES:
        lines = with_levels(_timed(service, _whole(reversed(files)), 0.0))
        return deque(filter(wanted, lines), maxlen=count)
    found: list[str] = []
    for number in range(1, len(files) + 1):
        found = list(deque(_whole(reversed(files[:number])), maxlen=count))
        if len(found) >= count:
            break
    return with_levels(_timed(service, found, 0.0))


def _whole(files: Iterable[Path]) -> Iterator[str]:
    """The lines of the files of one log, oldest first; a line that a rotation has cut in two is joined again."""
    begun = ""
    for file in files:
        with contextlib.suppress(FileNotFoundError), open(file, errors="replace") as stream:
            for text in stream:
                begun += text
                if begun.endswith("\n"):
                    yield begun
                    begun = ""
    if begun:
        yield begun


def _timed(service: str, lines: Iterable[str], before: float) -> Iterator[LogLine]:
    for text in lines:
        # time never goes back: the order within a file is the order of the events
        before = max(before, time_of(text) or before)
        yield LogLine(service, before, text.rstrip("\r\n"))


class Follower:
    """Reads one log file from its end on; after a rotation, first the rest of the old file and then the new one."""

    def __init__(self, service: str, path: Path) -> None:
        self._service = service
        self._path = path
        self._stream: IO[str] | None = self._open()
        if self._stream:
            self._stream.seek(0, os.SEEK_END)
        self._begun = ""
        self._time = time.time()
        self._level = "info"

    def read(self) -> list[LogLine]:
        """The whole lines that were added since the last call."""
        if self._stream is None:
            self._stream = self._open()
        if self._stream is None:
            return []
        text = self._begun + self._stream.read()
        if self._rotated(self._stream):
            text += self._stream.read()
            self._stream.close()
            self._stream = self._open()
        *lines, self._begun = text.split("\n")
        found = list(with_levels(_timed(self._service, lines, self._time), self._level))
        if found:
            self._time, self._level = found[-1].time, found[-1].level
        return found

    def _rotated(self, stream: IO[str]) -> bool:
        try:
            return not os.path.samestat(os.fstat(stream.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def _open(self) -> IO[str] | None:
        try:
            return open(self._path, errors="replace", newline="")
        except FileNotFoundError:
            return None
