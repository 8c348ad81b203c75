"""MQTT to row: how fast readings come in through the broker and the bridge, published by `bdemo simulate`."""

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
from backend_demo.operations.bench.costs import Sampler
from backend_demo.operations.bench.figures import Cost
from backend_demo.operations.bench.pipeline import STAGES, Notify, Pipeline, Rows, connected, prove

#: More than any sensor can publish: each publishes as fast as the broker acknowledges.
RATE = 100_000
CONNECT_S = 15.0
#: The simulator waits this long for the acknowledgements still out.
FLUSH_S = 60


@dataclass(frozen=True)
class Mqtt:
    """One run, from the first publish to the commit of the last row."""

    batch: int
    """Readings in a message."""
    readings: int
    readings_per_s: float
    """From the first publish to the last committed row."""
    published_per_s: float
    """What the simulator alone reached; the rest waits in the broker."""
    others_cores: float
    costs: tuple[Cost, ...]

    @property
    def cpu_us_per_reading(self) -> float:
        """CPU time of bridge and stages, microseconds a reading."""
        return round(1000 * sum(cost.cpu_s_per_1000 for cost in self.costs if cost.service in ("bridge", *STAGES)), 2)


async def mqtt(pipeline: Pipeline, seconds: float, sensors: int, batch: int, notify: Notify) -> Mqtt:
    """Publishes with QoS 1 for some seconds as fast as it goes, by sensors 1 to `sensors`; leaves their rows.

    Raises VerificationFailed when a reading was lost or an average is wrong, ServiceFailed.
    """
    with tempfile.TemporaryDirectory(prefix="bdemo-bench-") as folder:
        ledger = Path(folder) / "ledger.jsonl"
        with _simulator(pipeline, sensors, batch, ledger) as simulator:
            pids = {**pipeline.pids, "simulator": simulator.pid}
            with Sampler(pids) as sampler:
                await asyncio.to_thread(_until_publishing, simulator, ledger)
                await asyncio.sleep(seconds)
                summary = await _end(simulator)
                expected = Expected(_entries(ledger))
                async with connected(pipeline) as connection:
                    rows = Rows(connection, pipeline.moved, range(1, sensors + 1), expected.first)
                    await rows.wait_for(summary["acknowledged"])
                    _, last = await rows.commits()
        await prove(pipeline, _entries(ledger), 0, notify)
    begin, readings = expected.first, summary["acknowledged"]
    return Mqtt(
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
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def _until_publishing(simulator: subprocess.Popen[str], ledger: Path) -> None:
    """Returns when the first reading stands in the ledger. Raises what the simulator says, ServiceFailed."""
    deadline = time.monotonic() + CONNECT_S
    while not (ledger.exists() and ledger.stat().st_size):
        if simulator.poll() is not None:
            _, said = simulator.communicate()
            raise _failure(said)
        if time.monotonic() > deadline:
            raise ServiceFailed("the simulator publishes nothing", hint="see: bdemo status")
        time.sleep(0.02)


async def _end(simulator: subprocess.Popen[str]) -> dict[str, Any]:
    """Ctrl-C, which ends it cleanly: what it has published by then."""
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
