"""A command's event loop: SIGTERM ends it between two steps."""

import signal
import subprocess
import sys

END = 128 + signal.SIGTERM

BETWEEN_STEPS = """
import asyncio, os, signal
from backend_demo.cli import loop

async def main():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
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
        os.kill(os.getpid(), signal.SIGTERM)
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
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_command_cleans_up() -> None:
    assert ended(BETWEEN_STEPS) == (END, "the step goes on\ncleaned up\n", "")


def test_a_second_signal_ends_what_did_not_hear_the_first() -> None:
    code, told, _ = ended(NEVER_HEARD)
    assert (code, told) == (END, "")


def test_nothing_is_left_of_it() -> None:
    assert ended(AFTERWARDS) == (0, "its result\n", "")
