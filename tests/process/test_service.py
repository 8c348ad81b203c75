"""A service as a process: what a suspension does to it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SERVICE = """
import asyncio
from backend_demo.stages.runtime.process import ServiceProcess

async def main(stop):
    print("runs", flush=True)
    await stop.wait()

raise SystemExit(ServiceProcess(suspended_limit_s=1.5).run(main, owner=OWNER))
"""


@pytest.mark.parametrize(
    ("owner", "suspended_s", "code"),
    [(True, 0.2, 128 + signal.SIGTERM), (True, 2.0, 1), (False, 2.0, 128 + signal.SIGTERM)],
)
def test_a_process_that_was_suspended_for_long_ends(owner: bool, suspended_s: float, code: int) -> None:
    """It may have lost its partitions: what it would go on to write could be older than what the new owner wrote."""
    service = SERVICE.replace("OWNER", str(owner))
    process = subprocess.Popen([sys.executable, "-c", service], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
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
from backend_demo.stages.runtime.process import ServiceProcess

process = ServiceProcess(suspended_limit_s=1.5)

async def main(stop):
    time.sleep(2.0)  # as a container's freezer: no signal says that time has passed
    process.end_if_suspended()
    print("writes", flush=True)

raise SystemExit(process.run(main))
"""


def test_a_process_that_was_frozen_for_long_ends_before_it_writes() -> None:
    done = subprocess.run([sys.executable, "-c", FROZEN], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "writes" not in done.stdout


STARTING = FROZEN.replace("process.end_if", "process.owns_nothing_yet(); process.end_if")


def test_a_process_that_took_long_to_start_goes_on() -> None:
    """It has nothing that another one could have taken over; ended each time, it would never come up."""
    done = subprocess.run([sys.executable, "-c", STARTING], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "writes\n")


NICENESS = """
import os
from pathlib import Path
from backend_demo.stages.runtime.process import give_way

give_way(3)
print(os.nice(0), Path("/proc/self/autogroup").read_text().split()[-1])
"""
BESIDE_ANOTHER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {NICENESS!r}], check=True)"


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no sessions share the CPU here")
@pytest.mark.parametrize(("script", "session"), [(NICENESS, "3"), (BESIDE_ANOTHER, "0")], ids=["alone", "beside"])
def test_who_gives_way_does_not_make_a_session_of_several_give_way(script: str, session: str) -> None:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, start_new_session=True)
    assert done.stdout.split() == [str(os.nice(0) + 3), session]
