"""The logs of a compose project's containers: the newest lines merged by time, then what comes, across restarts."""

from __future__ import annotations

import contextlib
import heapq
import re
import subprocess
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from backend_demo.stack import compose_docker
from backend_demo.stack.base import LogLine
from backend_demo.stack.compose_containers import Container
from backend_demo.stack.services import copy_name

#: `processing-2-1  | 2026-11-24T15:27:14.123456789Z text`: the service, the number of its container, Docker's time.
_LINE = re.compile(r"(?P<service>\S+)-(?P<number>\d+) +\| (?P<rest>.*)")


def newest(containers: Collection[Container], count: int) -> list[LogLine]:
    """The newest `count` lines of all these containers, oldest first."""
    if not containers or not count:
        return []
    with ThreadPoolExecutor(len(containers)) as pool:
        found = pool.map(lambda container: _tail(container, count), containers)
    return list(deque(heapq.merge(*found, key=lambda line: line.time), maxlen=count))


def follow(compose: Sequence[object], names: Collection[str], begin: float) -> Iterator[LogLine]:
    """What containers of these names write after `begin` (epoch seconds), for ever, also those that are made later.

    `compose`: the command `docker compose` with the options that mean the project.
    """
    since = datetime.fromtimestamp(begin, UTC).isoformat().replace("+00:00", "Z")
    command = [*map(str, compose), "logs", "--follow", "--timestamps", "--no-color"]
    newest_of: dict[str, float] = {}
    while True:
        with _reading([*command, "--since", since]) as lines:
            for text in lines:
                line = parsed(text)
                # a container that is started again may be read from its beginning
                if line and line.service in names and line.time > newest_of.get(line.service, begin):
                    newest_of[line.service] = line.time
                    yield line
        time.sleep(1)  # every container has ended; more may come


def parsed(text: str) -> LogLine | None:
    """A line as `docker compose logs --timestamps` writes it; None when it is one of its own."""
    match = _LINE.match(text)
    return _line(copy_name(match["service"], int(match["number"])), match["rest"]) if match else None


@contextlib.contextmanager
def _reading(command: list[str]) -> Iterator[Iterator[str]]:
    """The lines that a command writes; it is ended when they are no longer read."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        try:
            yield iter(process.stdout)
        finally:
            process.terminate()


def _tail(container: Container, count: int) -> list[LogLine]:
    said = compose_docker.ask("logs", "--timestamps", "--tail", str(count), container.id, both=True)
    # stdout and stderr come one after the other
    return sorted((_line(container.name, text) for text in said.splitlines()), key=lambda line: line.time)


def _line(name: str, text: str) -> LogLine:
    stamp, _, rest = text.partition(" ")
    try:
        at = datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return LogLine(name, 0.0, text)
    return LogLine(name, at, rest.rstrip("\r"))
