"""kill -9 of each service and each server under load: everything acknowledged is there once, every average is right."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.services.table import PIPELINE
from tests.support.load import Load
from tests.support.services import all_ready, pid_of
from tests.support.wait import eventually


@pytest.mark.parametrize("service", ["mqtt", *PIPELINE])
def test_kill_9_loses_nothing(settings: Settings, stack: Stack, sql: Any, service: str) -> None:
    eventually(lambda: all_ready(stack), "the stack is ready")
    with Load(settings) as load:
        load.more()
        victim = pid_of(stack, service)
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: pid_of(stack, service) not in (victim, None), f"{service} comes back")
        eventually(lambda: all_ready(stack), "the stack is ready again", 90)
        load.more()
        load.check(sql)


POINTS = {
    "mqtt": ["mqtt-before-puback"],
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
