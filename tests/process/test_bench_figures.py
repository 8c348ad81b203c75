"""Processes that the bench freezes and measures."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from backend_demo.operations.bench.costs import CostSampler
from backend_demo.operations.bench.pipeline import frozen


@pytest.fixture
def sleeper() -> Iterator[psutil.Popen]:
    process = psutil.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait(5)


def until(process: psutil.Process, *states: str) -> None:
    deadline = time.monotonic() + 5
    while process.status() not in states:
        assert time.monotonic() < deadline, process.status()
        time.sleep(0.01)


def test_a_process_is_frozen_inside_of_the_block_only(sleeper: psutil.Popen) -> None:
    with contextlib.suppress(KeyError), frozen([sleeper.pid]):
        until(sleeper, psutil.STATUS_STOPPED)
        raise KeyError
    until(sleeper, psutil.STATUS_SLEEPING)


def test_a_frozen_process_goes_on_when_the_bench_is_killed(sleeper: psutil.Popen) -> None:
    program = (
        "import sys, time; from backend_demo.operations.bench.pipeline import frozen\n"
        "with frozen([int(sys.argv[1])]): print('frozen', flush=True); time.sleep(60)"
    )
    bench = subprocess.Popen([sys.executable, "-c", program, str(sleeper.pid)], stdout=subprocess.PIPE)
    assert bench.stdout is not None
    assert bench.stdout.readline() == b"frozen\n"
    until(sleeper, psutil.STATUS_STOPPED)
    bench.kill()
    bench.communicate(timeout=5)
    until(sleeper, psutil.STATUS_SLEEPING)


def test_a_sampler_sees_what_a_process_uses() -> None:
    """A busy process, half of the time frozen."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with CostSampler({"busy": busy.pid}) as sampler:
            begin = time.time()
            time.sleep(0.5)
            end = time.time()
            os.kill(busy.pid, signal.SIGSTOP)
            time.sleep(0.5)
            later = time.time()
    finally:
        busy.kill()
        busy.wait(5)
    (cost,) = sampler.costs(begin, end, 1000)
    (rest,) = sampler.costs(end + 0.25, later, 1000)
    assert cost.service == "busy"
    assert 0 < cost.cpu_s == pytest.approx(cost.cpu_s_per_1000, abs=0.001)
    assert cost.cores == pytest.approx(cost.cpu_s / (end - begin), abs=0.01)
    assert cost.peak_rss_mb > 1
    assert rest.cpu_s <= 0.02
