"""The logs of a compose project's containers: the newest lines merged by time, then what comes, across restarts."""

from __future__ import annotations

import contextlib
import heapq
import queue
import subprocess
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from backend_demo.stack.base import ALL_LINES, LogFilter, LogLine
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.compose.containers import Container, of_project
from backend_demo.stack.logfiles import with_levels

#: How often containers that were started, or started again, are looked for.
LOOK_EVERY_S = 1.0
#: Lines that are read ahead of who prints them.
_AHEAD = 1000


def newest(containers: Collection[Container], count: int, wanted: LogFilter = ALL_LINES) -> list[LogLine]:
    """The newest `count` lines of all these containers, oldest first."""
    if not containers or not count:
        return []
    with ThreadPoolExecutor(len(containers)) as pool:
        found = pool.map(lambda container: _tail(container, count, wanted), containers)
    return list(deque(heapq.merge(*found, key=lambda line: line.time), maxlen=count))


def follow(project: str, names: Collection[str], begin: float, wanted: LogFilter = ALL_LINES) -> Iterator[LogLine]:
    """What containers of these names write after `begin` (epoch seconds), for ever, also those that are made later.

    Not by `docker compose logs --follow`: it loses the first lines of a container that is started again.
    """
    lines: queue.Queue[LogLine] = queue.Queue(_AHEAD)
    readers: dict[tuple[str, float], _Reader] = {}
    last: dict[str, float] = {}
    look_at = 0.0
    try:
        while True:
            if time.monotonic() >= look_at:
                for container in of_project(project).values():
                    run = (container.id, container.started)
                    if container.name in names and run not in readers:
                        readers[run] = _Reader(container, last.get(container.name, begin), lines)
                look_at = time.monotonic() + LOOK_EVERY_S
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=max(0.0, look_at - time.monotonic()))
                if line.time > last.get(line.service, begin):  # `--since` gives the last known line again
                    last[line.service] = line.time
                    if wanted(line):
                        yield line
    finally:
        for reader in readers.values():
            reader.end()


class _Reader:
    """Reads one run of one container, from its start or from a moment on, until it stops."""

    def __init__(self, container: Container, since: float, lines: queue.Queue[LogLine]) -> None:
        self._name = container.name
        self._lines = lines
        self._ended = threading.Event()
        command = ["docker", "logs", "--follow", "--timestamps", "--since", _at(since), container.id]
        self._process = subprocess.Popen(  # noqa: S603 - words, no shell
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - narrows a type
        for line in with_levels(parsed(self._name, text) for text in self._process.stdout):
            while not self._ended.is_set():
                with contextlib.suppress(queue.Full):
                    self._lines.put(line, timeout=LOOK_EVERY_S)
                    break
        self._process.wait()

    def end(self) -> None:
        """Reads no more."""
        self._ended.set()
        self._process.terminate()


def _tail(container: Container, count: int, wanted: LogFilter) -> list[LogLine]:
    tail = ["--tail", str(count)] if wanted == ALL_LINES else ["--since", _at(wanted.since)]
    said = compose_docker.ask("logs", "--timestamps", *tail, container.id, both=True)
    # stdout and stderr come one after the other
    lines = sorted((parsed(container.name, text) for text in said.splitlines()), key=lambda line: line.time)
    return list(filter(wanted, with_levels(lines)))[-count:]


def _at(moment: float) -> str:
    """Epoch seconds as Docker takes them."""
    return datetime.fromtimestamp(moment, UTC).isoformat()


def parsed(name: str, text: str) -> LogLine:
    """A line as `docker logs --timestamps` writes it: `2026-11-24T15:27:14.123456789Z text`."""
    stamp, _, rest = text.rstrip("\r\n").partition(" ")
    try:
        return LogLine(name, datetime.fromisoformat(stamp).timestamp(), rest)
    except ValueError:
        return LogLine(name, 0.0, text)
