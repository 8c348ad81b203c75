"""Reading the services' log files: the newest lines merged by time, then what comes, across rotations."""

from __future__ import annotations

import heapq
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from backend_demo.stack.base import LogLine

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


def newest(files: Mapping[str, Path], count: int) -> list[LogLine]:
    """The newest `count` lines of these services' logs, oldest first; a line without a time follows its predecessor."""
    merged = heapq.merge(*(_tail(service, path, count) for service, path in files.items()), key=lambda line: line.time)
    return list(deque(merged, maxlen=count)) if count else []


def follow(files: Mapping[str, Path]) -> Iterator[LogLine]:
    """What is written from now on, for ever."""
    followers = [Follower(service, path) for service, path in files.items()]
    while True:
        lines = [line for follower in followers for line in follower.read()]
        yield from sorted(lines, key=lambda line: line.time)
        if not lines:
            time.sleep(POLL_S)


def last_errors(path: Path, count: int = 3) -> str | None:
    """The newest lines that tell of an error, or the newest at all; None when the log is empty."""
    return telling((line.text for line in _tail("", path, 60)), count)


def telling(lines: Iterable[str], count: int = 3) -> str | None:
    """The last of these lines that tell of an error, or the last at all; None when there are none."""
    written = [line.rstrip() for line in lines if line.strip()]
    errors = [line for line in written if _ERROR.search(line)]
    return "\n".join((errors or written)[-count:]) or None


def _tail(service: str, path: Path, count: int) -> list[LogLine]:
    lines: list[str] = []
    for file in (path, *(path.with_name(f"{path.name}.{number}") for number in (1, 2))):
        if len(lines) >= count:
            break
        try:
            with open(file, errors="replace") as stream:
                lines = [*deque(stream, maxlen=count - len(lines)), *lines]
        except FileNotFoundError:
            break
    return list(_timed(service, lines, 0.0))


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
        timed = list(_timed(self._service, lines, self._time))
        self._time = timed[-1].time if timed else self._time
        return timed

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
