"""Random kill -9 of services and servers under load, several at once: `bdemo verify` finds nothing wrong.

Each dies `KILLS` times (environment; else once), in an order that `KILLS_SEED` chooses. About six minutes take:

    KILLS=20 KILLS_SEED=7 pytest -s tests/integration/test_kills.py
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backend_demo.domain.topics import PROCESSED_DATA, SRC_DATA
from backend_demo.errors import ServiceFailed
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.services.table import PIPELINE
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.worker import Source, Worker
from tests.support.services import all_ready
from tests.support.wait import eventually

KILLS = int(os.environ.get("KILLS", "1"))
SEED = int(os.environ.get("KILLS_SEED", "1"))

#: What dies.
VICTIMS = ("mqtt", *PIPELINE)

#: At most two kills of one service in this time: the supervisor gives up what again and again ends as soon as started.
CALM_S, IN_CALM = 25.0, 2
PAUSE_MAX_S = 3.0
LIMIT_S = 60 + 60.0 * KILLS


class Killer:
    """Kills each service so many times, at random."""

    def __init__(self, stack: Stack, kills: int, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.most_at_once = 0
        self._stack = stack
        self._kills = kills
        self._random = random.Random(seed)
        self._at: dict[str, list[float]] = defaultdict(list)

    def run(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        while self.done.total() < self._kills * len(VICTIMS):
            assert time.monotonic() < deadline, f"killed in {LIMIT_S} s: {dict(self.done)}"
            self._kill(self._random.choice((1, 1, 2, 3)))
            time.sleep(self._random.uniform(0, PAUSE_MAX_S))

    def _kill(self, at_once: int) -> None:
        pids = {status.name: status.pid for status in self._stack.status() if status.pid is not None}
        now = time.monotonic()
        ready = [name for name in VICTIMS if name in pids and self.done[name] < self._kills and self._calm(name, now)]
        for name in self._random.sample(ready, min(at_once, len(ready))):
            try:
                os.kill(pids[name], signal.SIGKILL)
            except ProcessLookupError:
                continue  # it has ended since
            self.done[name] += 1
            self._at[name].append(now)
        down = sum(status.state not in ("ready", "off") for status in self._stack.status())
        self.most_at_once = max(self.most_at_once, down)

    def _calm(self, name: str, now: float) -> bool:
        return sum(now - at < CALM_S for at in self._at[name]) < IN_CALM


@contextmanager
def sensors(settings: Settings, ledger: Path) -> Iterator[dict[str, Any]]:
    """Sensors with all faults in their data, and afterwards what became of their readings."""
    summary: dict[str, Any] = {}
    faults = ("--late", "0.1", "--duplicate", "0.05", "--corrupt", "0.02", "--drop", "0.02")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "backend_demo", "simulate", "--sensors", "20", "--rate", "15"),
            *("--model", "random-walk", *faults, "--flush", "60s", "--ledger", str(ledger), "-o", "json"),
            *("--state-dir", str(settings.state_dir)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield summary
    finally:
        process.send_signal(signal.SIGINT)
        try:
            summary.update(json.loads(process.communicate(timeout=90)[0]))
        finally:
            process.kill()


@pytest.mark.timeout(LIMIT_S + 400)
def test_random_kills_lose_nothing(settings: Settings, stack: Stack, bdemo: Any, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    eventually(lambda: all_ready(stack), "the stack is ready")
    before = restarts(stack)
    killer = Killer(stack, KILLS, SEED)
    with sensors(settings, ledger) as summary:
        eventually(lambda: ledger.exists() and ledger.stat().st_size > 0, "the sensors publish")
        killer.run()
        eventually(lambda: all_ready(stack), "the stack is ready again", 120)
    assert (summary["failed"], summary["unsent"]) == (0, 0), summary
    found = json.loads(bdemo("verify", "--ledger", str(ledger), "--wait", "120s", "-o", "json", timeout_s=180).stdout)
    assert found["passed"]
    assert found["acked"] == found["ledger"] == summary["acknowledged"]
    by_themselves = restarts(stack) - before - killer.done
    figures = {"kills": dict(killer.done), "most_down": killer.most_at_once, "ended_by_themselves": dict(by_themselves)}
    print(json.dumps({**figures, "simulation": summary, "verdict": found}, indent=1))


def restarts(stack: Stack) -> Counter[str]:
    return Counter({status.name: status.restarts for status in stack.status()})


def test_kafka_that_goes_away_while_a_service_starts_is_told(settings: Settings, tmp_path: Path) -> None:
    """Faust cannot begin again: the process ends, and says why."""
    host, port = settings.kafka_bootstrap.split(":")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kafka = await asyncio.open_connection(host, int(port))
        await asyncio.gather(forward(reader, kafka[1]), forward(kafka[0], writer), return_exceptions=True)

    async def nothing(source: Source) -> None:
        raise AssertionError

    async def main() -> None:
        gate = await asyncio.start_server(connect, "127.0.0.1", 0)
        bootstrap = "{}:{}".format(*gate.sockets[0].getsockname())

        class Unlucky(Worker):
            def _app(self, *arguments: Any) -> Any:
                gate.close()
                return super()._app(*arguments)

        changed = settings.model_copy(
            update={"kafka_bootstrap": bootstrap, "state_dir": tmp_path, "consumer_group_prefix": "unlucky-"}
        )
        worker = Unlucky(changed, ServiceProcess(), "processing", consumes=(SRC_DATA,), produces=(PROCESSED_DATA,))
        with pytest.raises(ServiceFailed, match="went away while processing started"):
            await worker.run(nothing, asyncio.Event())
        await worker.producer.stop()

    asyncio.run(asyncio.wait_for(main(), 60))
