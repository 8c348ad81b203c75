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
from tests.support.kafka import brokers, environment
from tests.support.load import Load
from tests.support.ports import free_port
from tests.support.services import all_ready, pid_of
from tests.support.wait import eventually

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
                **environment(brokers(settings)),
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
def copies(settings: Settings, stack: Stack, tmp_path: Path) -> Iterator[Callable[[str], list[Copy]]]:
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
        load.more()
        for copy in first:
            copy.send(signal.SIGKILL)
        load.more()
        for copy in second:
            copy.send(signal.SIGTERM)
        assert [copy.process.wait(20) for copy in second] == [128 + signal.SIGTERM] * len(STAGES)
        load.check(sql)


@pytest.mark.timeout(600)
def test_scaling_under_load_keeps_everything_exact(
    settings: Settings, stack: Stack, bdemo: Any, tmp_path: Path
) -> None:
    """Up and down by `bdemo scale`, with copies that are killed in between, while sensors publish, late ones too."""
    eventually(lambda: all_ready(stack), "the stack is ready")
    ledger = str(tmp_path / "ledger.jsonl")
    load = subprocess.Popen(
        [
            *(sys.executable, "-m", "backend_demo", "simulate", "--sensors", "20", "--rate", "10"),
            *("--late", "0.1", "--duplicate", "0.05", "--corrupt", "0.02", "--ledger", ledger),
            *("--state-dir", str(settings.state_dir)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def scale(*copies: str) -> None:
        bdemo("scale", *copies, timeout_s=180)

    try:
        scale("collection=2", "processing=3", "aggregation=3", "loader=2")
        killed = {name: pid_of(stack, name) for name in ("processing-2", "aggregation", "aggregation-3", "loader-2")}
        for pid in killed.values():
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        scale("collection=1", "processing=2", "aggregation=4", "loader=3")  # while the killed come back
        victim = pid_of(stack, "aggregation-4")
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        bdemo("up")
        assert [status.name for status in stack.status() if status.name.startswith("aggregation")] == [
            *("aggregation", "aggregation-2", "aggregation-3", "aggregation-4")
        ]
        scale(*(f"{stage}=1" for stage in STAGES))
    finally:
        load.send_signal(signal.SIGINT)
        assert load.wait(60) == 130
    bdemo("verify", "--ledger", ledger, "--wait", "90s", timeout_s=120)
    eventually(lambda: all_ready(stack), "the stack is ready again")


def test_a_copy_that_wakes_up_does_not_write_over_its_successor(
    settings: Settings, sql: Any, copies: Callable[[str], list[Copy]]
) -> None:
    with Load(settings) as load:
        suspended = copies("suspended")
        load.more()
        for copy in suspended:
            copy.send(signal.SIGSTOP)
        time.sleep(15)  # the session ends after ten seconds, and the partitions are read on elsewhere
        for copy in suspended:
            copy.send(signal.SIGCONT)
        assert [copy.process.wait(10) for copy in suspended] == [1] * len(STAGES)
        load.check(sql)
