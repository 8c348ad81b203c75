"""Signals that end a command in order."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.support.signals import hear_everything

PROGRAM = """
import threading
from backend_demo.cli.signals import first_stops

stop = threading.Event()
with first_stops(stop) as received:
    print("runs", flush=True)
    stop.wait(1.5)
    print(received, flush=True)
    if received:
        threading.Event().wait(30)
"""


def started(before: Callable[[], object] = hear_everything) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_and_the_second_ends(number: int) -> None:
    process = started()
    try:
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.readline() == f"[{int(number)}]\n"
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=10)
        assert said.splitlines()[-1] == "KeyboardInterrupt"
    finally:
        process.kill()


def test_a_terminal_that_closes_ends_nothing_under_nohup() -> None:
    process = started(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    try:
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=10) == ("[]\n", "")
        assert process.returncode == 0
    finally:
        process.kill()
