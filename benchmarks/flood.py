"""Measures how much later rows are committed during a flood of requests by 50 connections.

Run: `python benchmarks/flood.py`.

Measures the running stack (`bdemo up` first): `bdemo bench latency --running`, in turns alone and under the flood,
which wrk (Debian's package) makes.

Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from backend_demo.settings import load
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN

SCRIPT = """
local i = 0
request = function() i = i % 100 + 1; return wrk.format("GET", (string.gsub("PATH", "{sensor}", i))) end
"""
TABLES = ("temperature", "average")


def latency(rate: float, seconds: float, state_dir: Path) -> dict[str, Any]:
    """Runs `bdemo bench latency` once on the running stack."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "backend_demo", "bench", "latency", "--running", "-o", "json"),
            *("--rate", str(rate), "--duration", f"{seconds:g}s", "--state-dir", str(state_dir)),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)["latency"][0]
    return found


def flood(url: str, path: str, connections: int, folder: Path) -> subprocess.Popen[str]:
    """Runs wrk until the block ends."""
    script = folder / "flood.lua"
    script.write_text(SCRIPT.replace("PATH", path))
    command = ["wrk", "-t1", f"-c{connections}", "-d600s", "-s", str(script), url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", default="/temperature_latest?sensor_num={sensor}")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--rate", type=float, default=500, help="readings per second")
    parser.add_argument("--duration", type=float, default=10, help="seconds of each run")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--state-dir", type=Path)
    wanted = parser.parse_args()
    base = load(state_dir=wanted.state_dir)
    settings = StateDirectory(base.state_dir).attached(base, kafka=KAFKA_ADMIN)
    runs: dict[str, list[dict[str, Any]]] = {"alone": [], "flooded": []}
    requests = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(wanted.repeat):
            runs["alone"].append(latency(wanted.rate, wanted.duration, settings.state_dir))
            wrk = flood(settings.gateway_url, wanted.path, wanted.connections, Path(folder))
            begin = time.monotonic()
            try:
                runs["flooded"].append(latency(wanted.rate, wanted.duration, settings.state_dir))
            finally:
                wrk.send_signal(2)
                report = wrk.communicate(timeout=30)[0]
            asked = next(int(line.split()[0]) for line in report.splitlines() if "requests in" in line)
            requests.append(round(asked / (time.monotonic() - begin)))
    medians = {
        f"{table}_{quantile}": {
            kind: statistics.median(run[table][quantile] for run in found) for kind, found in runs.items()
        }
        for table in TABLES
        for quantile in ("p50_ms", "p99_ms")
    }
    ratios = {name: round(found["flooded"] / found["alone"], 2) for name, found in medians.items()}
    print(json.dumps({"medians": medians, "flooded_of_alone": ratios, "requests_per_s": requests}, indent=2))


if __name__ == "__main__":
    main()
