"""Reading the services' log files: the newest lines merged by time, then what comes, across rotations."""

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

#: How every service writes the time: `2026-11-24T11:33:56.359Z`, with a blank, slashes or a comma in some; all UTC.
_TIME = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,6}))?")
_ERROR = re.compile(r"\b(error|fatal|panic|exception|critical|traceback|[a-z]*error:)", re.IGNORECASE)


def time_of(line: str) -> float | None:
    """When a line was written, epoch seconds; None when it does not say (the second line of a traceback)."""
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
    """What is written from now on, from this call, for ever."""
    return _coming([Follower(service, path) for service, path in files.items()], wanted)


def _coming(followers: list[Follower], wanted: LogFilter) -> Iterator[LogLine]:
    while True:
        lines = [line for follower in followers for line in follower.read()]
        yield from sorted(filter(wanted, lines), key=lambda line: line.time)
        if not lines:
            time.sleep(POLL_S)


def last_errors(path: Path, count: int = 3) -> str | None:
    """The newest lines that tell of an error, or the newest at all; None when the log is empty."""
    return telling((line.text for line in _tail("", path, 60)), count)


def telling(lines: Iterable[str], count: int = 3) -> str | None:
    """The last of these lines that tell of an error, or the last at all; None when there are none.

    An event is told by itself and, in a line of its own, its cause.
    """
    errors: list[list[str]] = []
    written: list[list[str]] = []
    for line in lines:
        event = from_json(line)
        if event is None:
            told, tells = [line.rstrip()] if line.strip() else [], bool(_ERROR.search(line))
        else:
            shown = {name: value for name, value in event.items() if name not in ("error", "hint")}
            told, tells = [summary(shown), *_cause(event)], event["level"] in LEVELS[2:]
        written.append(told)
        if tells:
            errors.append(told)
    last: list[str] = []
    for told in reversed(errors or written):
        if last and len(last) + len(told) > count:
            break
        last = [*told, *last]
    return "\n".join(last) or None


def _cause(event: Event) -> list[str]:
    # a traceback ends with it, in a group of exceptions in front of its frame
    text = str(event.get("error") or event.get("exception") or "")
    return [line for each in text.splitlines() if (line := each.strip(" |+-"))][-1:]


def with_levels(lines: Iterable[LogLine], before: str = "info") -> Iterator[LogLine]:
    """These lines of one service, each with its level; `before`: the level of the line before the first."""
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
    """The lines of a log's files, oldest first; one that a rotation has cut in two is whole again."""
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
        # never back: the order within a file is the order in which it happened
        before = max(before, time_of(text) or before)
        yield LogLine(service, before, text.rstrip("\r\n"))


class Follower:
    """One log file, from its end; when it is rotated, the rest of the old one and then the new one."""

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
