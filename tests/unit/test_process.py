"""A service as a process: what a suspension does to it."""

import signal
import subprocess
import sys
import time

import pytest

SERVICE = """
import asyncio
from backend_demo.stages import process

async def main(stop):
    print("runs", flush=True)
    await stop.wait()

process.SUSPENDED_LIMIT_S = 1.5
raise SystemExit(process.run(main))
"""


@pytest.mark.parametrize(("suspended_s", "code"), [(0.2, 128 + signal.SIGTERM), (2.0, 1)])
def test_a_process_that_was_suspended_for_long_ends(suspended_s: float, code: int) -> None:
    """It may have lost its partitions: what it would go on to write could be older than what the new owner wrote."""
    process = subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(suspended_s)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == code
    finally:
        process.kill()


FROZEN = """
import asyncio, time
from backend_demo.stages import process

async def main(stop):
    time.sleep(2.0)  # as a container's freezer: no signal says that time has passed
    process.end_if_suspended()
    print("writes", flush=True)

process.SUSPENDED_LIMIT_S = 1.5
raise SystemExit(process.run(main))
"""


def test_a_process_that_was_frozen_for_long_ends_before_it_writes() -> None:
    done = subprocess.run([sys.executable, "-c", FROZEN], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "writes" not in done.stdout
