"""Measures the seconds from a sensor's publish to the committed row.

Run: `python benchmarks/latency.py --sensors 5 --rate 10`.

Measures the running stack (`bdemo up` first). Each reading carries the time at which it was published; PostgreSQL
tells when its row was committed (`track_commit_timestamp`). The first two seconds are left out.

Prints one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from backend_demo.settings import load
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN

QUERY = """
select extract(epoch from pg_xact_commit_timestamp(xmin))::float8 - timestamp
from {table} where timestamp between $1 and $2
"""


async def latencies(dsn: str, begin: float, end: float) -> dict[str, list[float]]:
    connection = await asyncpg.connect(dsn)
    try:
        return {
            table: sorted(row[0] for row in await connection.fetch(QUERY.format(table=table), begin, end))
            for table in ("temperature", "average")
        }
    finally:
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=5)
    parser.add_argument("--rate", type=float, default=10, help="readings per second and sensor")
    parser.add_argument("--duration", type=float, default=20, help="seconds")
    parser.add_argument("--state-dir", type=Path)
    wanted = parser.parse_args()
    base = load(state_dir=wanted.state_dir)
    settings = StateDirectory(base.state_dir).attached(base, kafka=KAFKA_ADMIN)
    begin = time.time()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                *(sys.executable, "-m", "backend_demo", "simulate", "--sensors", str(wanted.sensors)),
                *("--rate", str(wanted.rate), "--duration", str(wanted.duration)),
                *("--state-dir", str(settings.state_dir), "--ledger", str(Path(folder) / "ledger")),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    time.sleep(2)
    found = asyncio.run(latencies(settings.postgres_dsn, begin + 2, time.time()))
    print(
        json.dumps(
            {
                "readings_per_s": wanted.sensors * wanted.rate,
                **{
                    table: {
                        "rows": len(values),
                        **{
                            f"p{p}_ms": round(values[min(len(values) - 1, len(values) * p // 100)] * 1000, 1)
                            for p in (50, 99)
                        },
                        "max_ms": round(values[-1] * 1000, 1),
                    }
                    for table, values in found.items()
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
