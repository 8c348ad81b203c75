"""Measures how long the stack takes to start and how much memory it uses: `python benchmarks/startup.py [--runs 3]`.

Uses a state directory of its own, any free ports, and fetches nothing that is cached already. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

BDEMO = [sys.executable, "-m", "backend_demo"]


def bdemo(*words: str, state_dir: Path) -> tuple[float, str]:
    """Runs one command; returns its seconds and its stdout. Raises CalledProcessError."""
    begin = time.monotonic()
    done = subprocess.run(
        [*BDEMO, *words, "--state-dir", str(state_dir)], check=True, stdout=subprocess.PIPE, text=True
    )
    return time.monotonic() - begin, done.stdout


def first_reading(gateway: str, since: float, limit_s: float) -> None:
    """Waits until the gateway shows a reading of sensor 1 that is newer than `since` (epoch seconds)."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{gateway}/temperature_latest?sensor_num=1", timeout=2) as answer:
                if any(float(row["timestamp"]) > since for row in json.load(answer)):
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.02)
    raise TimeoutError("no reading in /temperature_latest")


def measure(state_dir: Path) -> dict[str, float]:
    begin, since = time.monotonic(), time.time()
    up_s, _ = bdemo("up", "--any-port", state_dir=state_dir)
    status_s, text = bdemo("status", "-o", "json", state_dir=state_dir)
    status: dict[str, Any] = json.loads(text)
    bdemo("simulate", "--sensors", "1", "--count", "1", state_dir=state_dir)
    first_reading(status["addresses"]["gateway"], since, 10)
    first_s = time.monotonic() - begin - status_s
    time.sleep(5)
    _, text = bdemo("status", "-o", "json", state_dir=state_dir)
    rss = {service["name"]: service["rss_bytes"] / 1e6 for service in json.loads(text)["services"]}
    ours = ("mqtt", "collection", "processing", "aggregation", "loader", "gateway")
    down_s, _ = bdemo("down", state_dir=state_dir)
    begin = time.monotonic()
    subprocess.run([*BDEMO, "--help"], check=True, stdout=subprocess.DEVNULL)
    help_s = time.monotonic() - begin
    return {
        "up_s": up_s,
        "first_reading_s": first_s,
        "status_s": status_s,
        "help_s": help_s,
        "down_s": down_s,
        "rss_mb": sum(rss.values()),
        "rss_python_services_mb": sum(rss[name] for name in ours),
        **{f"rss_{name}_mb": megabytes for name, megabytes in rss.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="bdemo-bench-") as folder:
        state_dir = Path(folder) / "state"
        try:
            cold = measure(state_dir)
            warm = [measure(state_dir) for _ in range(runs)]
        finally:
            bdemo("down", state_dir=state_dir)
    medians = {name: round(statistics.median(run[name] for run in warm), 3) for name in warm[0]}
    print(json.dumps({"runs": runs, "first_up_s": round(cold["up_s"], 3), "warm_median": medians}, indent=2))


if __name__ == "__main__":
    main()
