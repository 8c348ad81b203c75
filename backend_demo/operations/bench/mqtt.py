"""MQTT to row: measures how fast readings pass the broker and the pipeline, published by `bdemo simulate`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend_demo.domain.verdict import Entry, Expected, decode_entry
from backend_demo.errors import ServiceFailed
from backend_demo.operations.bench.costs import CostSampler
from backend_demo.operations.bench.figures import Cost
from backend_demo.operations.bench.pipeline import STAGES, Pipeline, StoredRows, connected, prove
from backend_demo.operations.notify import Notify

#: Readings per second and sensor, more than any can publish: each publishes as fast as the broker acknowledges.
RATE = 100_000
#: Longest time to the first published reading, seconds.
CONNECT_S = 15.0
#: Longest time that the simulator waits for missing acknowledgements, seconds.
FLUSH_S = 60


@dataclass(frozen=True)
class MqttRun:
    """One run, from the first publish to the commit of the last row."""

    batch: int
    """Readings per message."""
    readings: int
    readings_per_s: float
    """From the first publish to the last committed row."""
    published_per_s: float
    """Rate of the simulator alone; the readings not yet stored wait in the broker."""
    others_cores: float
    costs: tuple[Cost, ...]

    @property
    def cpu_us_per_reading(self) -> float:
        """CPU time of the MQTT proxy and the stages, microseconds per reading."""
        return round(1000 * sum(cost.cpu_s_per_1000 for cost in self.costs if cost.service in ("mqtt", *STAGES)), 2)


async def mqtt(pipeline: Pipeline, seconds: float, sensors: int, batch: int, notify: Notify) -> MqttRun:
    """Publishes with QoS 1 for some seconds, as fast as possible, from sensors 1 to `sensors`; leaves their rows.

    Raises VerificationFailed when a reading was lost or an average is wrong, ServiceFailed.
    """
    with tempfile.TemporaryDirectory(prefix="bdemo-bench-") as folder:
        ledger = Path(folder) / "ledger.jsonl"
        with _simulator(pipeline, sensors, batch, ledger) as simulator:
            pids = {**pipeline.pids, "simulator": simulator.pid}
            with CostSampler(pids) as sampler:
                await asyncio.to_thread(_until_publishing, simulator, ledger)
                await asyncio.sleep(seconds)
                summary = await _end(simulator)
                expected = Expected(_entries(ledger))
                async with connected(pipeline) as connection:
                    rows = StoredRows(connection, pipeline.moved, range(1, sensors + 1), expected.first)
                    await rows.wait_for(summary["acknowledged"])
                    _, last = await rows.commits()
        await prove(pipeline, _entries(ledger), 0, notify)
    begin, readings = expected.first, summary["acknowledged"]
    return MqttRun(
        batch=batch,
        readings=readings,
        readings_per_s=round(readings / (last - begin), 1),
        published_per_s=round(summary["rate"], 1),
        others_cores=sampler.others_cores(begin, last),
        costs=sampler.costs(begin, last, readings),
    )


@contextlib.contextmanager
def _simulator(pipeline: Pipeline, sensors: int, batch: int, ledger: Path) -> Iterator[subprocess.Popen[str]]:
    command = [
        *(sys.executable, "-m", "backend_demo", "simulate", "--state-dir", str(pipeline.settings.state_dir)),
        *("--sensors", str(sensors), "--rate", str(RATE), "--batch", str(batch), "--flush", f"{FLUSH_S}s"),
        *("--ledger", str(ledger), "-o", "json"),
    ]
    process = subprocess.Popen(  # noqa: S603 - words, no shell
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def _until_publishing(simulator: subprocess.Popen[str], ledger: Path) -> None:
    """Returns when the first reading is in the ledger. Raises ServiceFailed."""
    deadline = time.monotonic() + CONNECT_S
    while not (ledger.exists() and ledger.stat().st_size):
        if simulator.poll() is not None:
            _, said = simulator.communicate()
            raise _failure(said)
        if time.monotonic() > deadline:
            raise ServiceFailed(f"the simulator published nothing within {CONNECT_S:g} s", hint="see: bdemo status")
        time.sleep(0.02)


async def _end(simulator: subprocess.Popen[str]) -> dict[str, Any]:
    """Ends the simulator cleanly, as Ctrl-C does. Returns its summary."""
    simulator.send_signal(signal.SIGINT)
    said, problem = await asyncio.to_thread(simulator.communicate, timeout=FLUSH_S + 30)
    try:
        return dict(json.loads(said))
    except ValueError as error:
        raise _failure(problem) from error


def _failure(said: str) -> ServiceFailed:
    """What the simulator told as `error:` and `hint:`."""
    error, _, hint = " ".join(said.split()).partition("hint: ")
    return ServiceFailed(f"the simulator failed: {error.removeprefix('error: ')}", hint=hint)


def _entries(ledger: Path) -> Iterator[Entry]:
    with ledger.open("rb") as lines:
        yield from (decode_entry(line) for line in lines)
