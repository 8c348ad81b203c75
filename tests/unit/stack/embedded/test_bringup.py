"""Waiting for services: until one look finds all of them ready, or there is no more use in it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from backend_demo.errors import ServiceFailed, TimedOut
from backend_demo.stack.embedded import bringup
from backend_demo.stack.embedded.bringup import Waiting
from backend_demo.stack.embedded.supervisor import ProcessInfo, ProcessState
from backend_demo.stack.services.table import users
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.threads import Stopped

COPIES = ("processing", "processing-2")


class Programs:
    """A supervisor whose programs are all in one state."""

    def __init__(self, state: ProcessState) -> None:
        self._state: ProcessState = state

    def processes(self) -> dict[str, ProcessInfo]:
        return {name: ProcessInfo(name, "services", self._state, 1, 1.0) for name in COPIES}


class Scripted(Waiting):
    """Finds each copy as its script says, look by look, then as in its last look."""

    def __init__(self, folder: Path, script: Mapping[str, Sequence[bool]], state: ProcessState = "RUNNING") -> None:
        programs: Any = Programs(state)
        super().__init__(StateDirectory(folder), programs, time.monotonic() + 30)
        self.looks = dict.fromkeys(script, 0)
        self._script = script

    def is_ready(self, name: str) -> bool:
        self.looks[name] += 1
        return self._script[name][min(self.looks[name], len(self._script[name])) - 1]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringup, "POLL_S", 0.0)


def test_copies_are_ready_together_when_one_look_finds_all_of_them_ready(tmp_path: Path) -> None:
    """The second copy takes the first one's partitions away for a moment when it joins."""
    waiting = Scripted(tmp_path, {"processing": [True, False, False, True], "processing-2": [False, False, True, True]})
    waiting.until_ready_together(COPIES)
    assert waiting.looks == dict.fromkeys(COPIES, 4)


def test_copies_that_are_never_ready_together_take_all_the_time(tmp_path: Path) -> None:
    waiting = Scripted(tmp_path, {"processing": [True], "processing-2": [False]})
    waiting.deadline = time.monotonic()
    with pytest.raises(TimedOut, match="processing-2 is not ready"):
        waiting.until_ready_together(COPIES)


def test_a_copy_that_keeps_failing_ends_the_wait(tmp_path: Path) -> None:
    waiting = Scripted(tmp_path, {"processing": [True], "processing-2": [False]}, state="FATAL")
    waiting.state.create(users())
    waiting.state.log_of("processing-2").write_text("error: the disk is on fire\n")
    with pytest.raises(ServiceFailed, match="processing-2 failed: error: the disk is on fire"):
        waiting.until_ready_together(COPIES)


def test_a_failure_elsewhere_ends_the_wait(tmp_path: Path) -> None:
    waiting = Scripted(tmp_path, {"processing": [True], "processing-2": [False]})
    waiting.stop.set()
    with pytest.raises(Stopped):
        waiting.until_ready_together(COPIES)
