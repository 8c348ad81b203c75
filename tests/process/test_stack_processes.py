"""Processes without a supervisor are found by what they carry, and only they are ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from backend_demo.stack import processes, resident_memory
from backend_demo.stack.embedded import leftovers

URL = f"unix:///nowhere/{os.getpid()}/supervisor.sock"

SLEEP = "import time; print(flush=True); time.sleep(60)"

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def run(
        program: str = "import time; print(flush=True); time.sleep(60)", **environment: str
    ) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", program], env={**os.environ, **environment}, stdout=subprocess.PIPE
        )
        started.append(child)
        assert child.stdout is not None
        child.stdout.readline()
        return child

    yield run
    for child in started:
        child.kill()
        child.communicate(timeout=10)


def test_children_of_a_supervisor_are_found_with_their_names(start: Start) -> None:
    ours = start(SUPERVISOR_SERVER_URL=URL, SUPERVISOR_PROCESS_NAME="loader")
    start(SUPERVISOR_SERVER_URL=URL + ".other", SUPERVISOR_PROCESS_NAME="loader")
    assert [(name, process.pid) for name, process in leftovers.children_of(URL)] == [("loader", ours.pid)]


def test_what_ignores_the_first_signal_is_killed(start: Start) -> None:
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    stubborn, meek = start(program), start()
    processes.end([psutil.Process(child.pid) for child in (stubborn, meek)], grace_s=0.3)
    assert stubborn.wait(5) == -signal.SIGKILL
    assert meek.wait(5) == -signal.SIGTERM


def test_the_memory_of_a_process_is_that_of_its_children_too(start: Start) -> None:
    before = resident_memory.resident_bytes(os.getpid())
    start()
    after = resident_memory.resident_bytes(os.getpid())
    assert before is not None
    assert after is not None
    assert 1_000_000 < before < after


def test_a_process_that_has_ended_has_no_memory(start: Start) -> None:
    child = start()
    child.kill()
    child.wait(10)
    assert resident_memory.resident_bytes(child.pid) is None
