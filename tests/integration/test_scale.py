"""Several copies of a stage: they come, are killed, end and are suspended under load, and the tables stay exact."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from tests.integration.sensors import eventually
from tests.integration.test_recovery import Load, all_ready

STAGES = ("collection", "processing", "aggregation", "loader")


class Copy:
    """One more process of a stage, a member of its consumer group beside the supervised one."""

    def __init__(self, settings: Settings, stage: str, instance: str, port: int, folder: Path) -> None:
        self._stage = stage
        self._metrics = f"http://127.0.0.1:{port}/metrics"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "backend_demo", "run", stage, "--standalone"],
            env={
                **os.environ,
                "BDEMO_STATE_DIR": str(folder / f"{stage}-{instance}"),
                "BDEMO_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
                "BDEMO_POSTGRES_DSN": settings.postgres_dsn,
                "BDEMO_INSTANCE": instance,
                f"BDEMO_{stage.upper()}_STATS_PORT": str(port),
            },
            stderr=subprocess.DEVNULL,
        )

    def ready(self) -> bool:
        assert self.process.poll() is None, f"{self._stage} has ended"
        with contextlib.suppress(OSError), urllib.request.urlopen(self._metrics, timeout=2) as answer:
            return f'bdemo_service_ready{{service="{self._stage}"}} 1.0' in answer.read().decode()
        return False

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@pytest.fixture
def copies(
    settings: Settings, stack: Stack, free_port: Callable[[], int], tmp_path: Path
) -> Iterator[Callable[[str], list[Copy]]]:
    """Starts a copy of each stage, under one instance name; waits until all are ready."""
    started: list[Copy] = []

    def start(instance: str) -> list[Copy]:
        new = [Copy(settings, stage, instance, free_port(), tmp_path) for stage in STAGES]
        started.extend(new)
        for copy in new:
            eventually(copy.ready, "the copies are ready")
        return new

    eventually(lambda: all_ready(stack), "the stack is ready")
    yield start
    for copy in started:
        copy.process.kill()
        copy.process.wait()
    # static members are missed only after their session
    eventually(lambda: all_ready(stack), "the stack is ready again")


def test_copies_come_and_go(settings: Settings, sql: Any, copies: Callable[[str], list[Copy]]) -> None:
    with Load(settings) as load:
        first, second = copies("first"), copies("second")
        time.sleep(2)
        for copy in first:
            copy.send(signal.SIGKILL)
        time.sleep(1)
        for copy in second:
            copy.send(signal.SIGTERM)
        assert [copy.process.wait(20) for copy in second] == [128 + signal.SIGTERM] * len(STAGES)
        load.check(sql)


def test_a_copy_that_wakes_up_does_not_write_over_its_successor(
    settings: Settings, sql: Any, copies: Callable[[str], list[Copy]]
) -> None:
    with Load(settings) as load:
        suspended = copies("suspended")
        time.sleep(2)
        for copy in suspended:
            copy.send(signal.SIGSTOP)
        time.sleep(15)  # the session ends after ten seconds, and the partitions are read on elsewhere
        for copy in suspended:
            copy.send(signal.SIGCONT)
        assert [copy.process.wait(10) for copy in suspended] == [1] * len(STAGES)
        load.check(sql)
