"""kill -9 of each service and each server under load: everything acknowledged is there once, every average is right."""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.services import PIPELINE
from tests.integration.sensors import Publisher, eventually, exact, new_sensor


class Load:
    """Readings of five sensors at a steady rate, some late, some very late, while a test does its worst."""

    def __init__(self, settings: Settings, rate: float = 200) -> None:
        self.publisher = Publisher(settings)
        self._rate = rate
        self._sensors = [new_sensor() for _ in range(5)]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.publisher.__exit__()

    def _run(self) -> None:
        begin, i = time.time(), 0
        while not self._end.is_set():
            due = begin + i / self._rate
            self._end.wait(max(0.0, due - time.time()))
            late = 3.3 if i % 20 == 0 else 0.21 if i % 7 == 0 else 0.0
            self.publisher.reading(self._sensors[i % 5], due - late, 20 + i % 11)
            i += 1

    def check(self, sql: Any) -> None:
        self._end.set()
        self._thread.join()
        self.publisher.settle(90)
        exact(sql, self.publisher.acknowledged, limit_s=90)


def pid_of(stack: Stack, service: str) -> int | None:
    return next(status.pid for status in stack.status() if status.name == service)


def all_ready(stack: Stack) -> bool:
    return all(status.state in ("ready", "off") for status in stack.status())


@pytest.mark.parametrize("service", PIPELINE)
def test_kill_9_loses_nothing(settings: Settings, stack: Stack, sql: Any, service: str) -> None:
    eventually(lambda: all_ready(stack), "the stack is ready")
    with Load(settings) as load:
        time.sleep(1.5)
        victim = pid_of(stack, service)
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: pid_of(stack, service) not in (victim, None), f"{service} comes back")
        eventually(lambda: all_ready(stack), "the stack is ready again", 90)
        time.sleep(1.5)
        load.check(sql)


POINTS = {
    "bridge": ["bridge-before-puback"],
    "collection": ["collection-before-send", "collection-after-send"],
    "processing": ["processing-before-send", "processing-after-send"],
    "aggregation": [
        "aggregation-before-send",
        "aggregation-after-send",
        "aggregation-before-state",
        "aggregation-after-state",
    ],
    "loader": ["loader-before-commit", "loader-after-commit"],
}


@pytest.mark.parametrize(
    ("service", "point"), [(service, point) for service, found in POINTS.items() for point in found]
)
def test_a_kill_at_the_worst_moment_loses_nothing(
    settings: Settings, stack: Stack, sql: Any, service: str, point: str
) -> None:
    eventually(lambda: all_ready(stack), "the stack is ready")
    with Load(settings) as load:
        run = subprocess.Popen(
            [sys.executable, "-m", "backend_demo", "run", service, "--state-dir", str(settings.state_dir)],
            env={**os.environ, "BDEMO_FAILPOINT": f"{point}@3"},
            stderr=subprocess.DEVNULL,
        )
        assert run.wait(60) == -signal.SIGKILL
        stack.start(service)
        load.check(sql)
