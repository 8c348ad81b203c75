"""Quantiles, values between samples, the run in the middle; a frozen process goes on whatever happens."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.operations.bench.costs import Sampler
from backend_demo.operations.bench.figures import median_run, quantile, spread, value_at
from backend_demo.operations.bench.pipeline import frozen


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed(values: list[float], share: float) -> None:
    ordered = sorted(values)
    expected = min(value for value in ordered if sum(other <= value for other in ordered) >= share * len(ordered))
    assert quantile(ordered, share) == expected


def test_a_spread_is_in_milliseconds() -> None:
    found = spread([0.003, 0.001, 0.002])
    assert (found.p50_ms, found.p99_ms, found.max_ms) == (2.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("when", "expected"), [(0.0, 10.0), (1.0, 10.0), (2.0, 15.0), (3.0, 20.0), (4.5, 25.0), (9.0, 30.0)]
)
def test_a_value_between_samples_lies_on_the_line(when: float, expected: float) -> None:
    assert value_at([1.0, 3.0, 6.0], [10.0, 20.0, 30.0], when) == expected


def test_the_run_in_the_middle_stands_for_all() -> None:
    assert median_run([5, 1, 3], float) == 3
    assert median_run([4, 1, 3, 2], float) == 2


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
        with Sampler({"busy": busy.pid}) as sampler:
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
