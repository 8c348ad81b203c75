"""What is done to a process is undone in any case."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from backend_demo.stack.undo import Undo
from tests.support.signals import hear_everything
from tests.support.wait import eventually


@pytest.fixture
def sleeper() -> Iterator[psutil.Popen]:
    process = psutil.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait(5)


def test_it_is_undone_at_the_end_of_the_block(sleeper: psutil.Popen) -> None:
    with Undo("kill", "-CONT") as undo:
        undo.note(str(sleeper.pid))
        sleeper.suspend()
        eventually(lambda: sleeper.status() == psutil.STATUS_STOPPED, "it stands still")
    assert sleeper.status() == psutil.STATUS_SLEEPING


def test_it_is_undone_after_an_error(tmp_path: Path) -> None:
    with contextlib.suppress(KeyError), Undo("touch") as undo:
        undo.note(str(tmp_path / "with a space"))
        undo.note(str(tmp_path / "second"))
        raise KeyError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["second", "with a space"]


def test_nothing_is_run_when_nothing_was_done(tmp_path: Path) -> None:
    with Undo("touch", str(tmp_path / "file")):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_it_is_undone_when_this_process_is_ended(sleeper: psutil.Popen, number: signal.Signals) -> None:
    program = (
        "import sys, time\n"
        "from backend_demo.stack.undo import Undo\n"
        "with Undo('kill', '-CONT') as undo:\n"
        "    undo.note(sys.argv[1]); print('noted', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(sleeper.pid)],
        stdout=subprocess.PIPE,
        preexec_fn=hear_everything,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"noted\n"
    sleeper.suspend()
    process.send_signal(number)
    process.communicate(timeout=10)
    eventually(lambda: sleeper.status() == psutil.STATUS_SLEEPING, "it continues", 10)
