"""A command's event loop: SIGTERM and SIGHUP end it between two steps."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.signals import hear_everything

BETWEEN_STEPS = """
import asyncio, os, signal
from backend_demo.cli import loop

async def main():
    try:
        os.kill(os.getpid(), signal.NUMBER)
        print("the step goes on")
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0)
        print("cleaned up")

loop.run(main())
"""
NEVER_HEARD = """
import os, signal, time
from backend_demo.cli import loop

async def main():
    for _ in range(2):
        os.kill(os.getpid(), signal.NUMBER)
    print("goes on")

loop.run(main())
"""
AFTERWARDS = """
import asyncio, signal
from backend_demo.cli import loop

before = signal.getsignal(signal.SIGTERM)
print(loop.run(asyncio.sleep(0, "its result")))
assert signal.getsignal(signal.SIGTERM) is before
"""


def ended(program: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=hear_everything,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_command_cleans_up(number: signal.Signals) -> None:
    program = BETWEEN_STEPS.replace("NUMBER", number.name)
    assert ended(program) == (128 + number, "the step goes on\ncleaned up\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_ends_what_did_not_hear_the_first(number: signal.Signals) -> None:
    code, told, _ = ended(NEVER_HEARD.replace("NUMBER", number.name))
    assert (code, told) == (128 + number, "")


IN_A_TERMINAL = """
import sys, time
from pathlib import Path
from backend_demo.cli import signals

signals.handled(signals.end)
try:
    print("runs", flush=True)
    time.sleep(60)
finally:
    print("cleans up", flush=True)
    Path(sys.argv[1]).write_text("cleaned up")
"""


def test_a_command_whose_terminal_closes_cleans_up(tmp_path: Path) -> None:
    """What it prints then goes nowhere, and does not end the cleaning up."""
    left = tmp_path / "left"
    process, terminal = pty.fork()
    if process == 0:
        hear_everything()
        os.execv(sys.executable, [sys.executable, "-c", IN_A_TERMINAL, str(left)])
    with open(terminal, "rb", buffering=0) as screen:
        said = b""
        while not said.endswith(b"\n"):
            said += screen.read(100)
    assert said == b"runs\r\n"
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert left.read_text() == "cleaned up"


def test_nothing_is_left_of_it() -> None:
    assert ended(AFTERWARDS) == (0, "its result\n", "")
