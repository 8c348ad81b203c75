"""Measures what a year of rows changes: the drain, the newest reading, buckets of a year, and dropping a day.

Run: `python benchmarks/year.py --rows 1000000`, on a stack of its own (`bdemo up --any-port --state-dir DIRECTORY`): it
fills the tables, and drops the oldest days at the end.

PostgreSQL makes the rows itself, half of them readings and half averages, day by day as they would have come; they take
about 110 bytes each. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from backend_demo.settings import Settings, load
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN
from backend_demo.storage import hours, retention

DAYS, DAY = 365, 86_400
#: Days that are dropped at the end, and after which they are counted as old.
DROPPED = 3
#: Seconds for one statement.
LIMIT_S = 3600.0

FILL = """
insert into {table} (sensor_num, timestamp, value)
select sensor, $1::float8 + (i + sensor::float8 / $2) * $3::float8, 20 + (i * 7 + sensor) % 997 * 0.01
from generate_series(0, $4::bigint - 1) i, generate_series(1, $2::int) sensor
"""
MARK = """
insert into stale_hour (series, hour, sensors)
select $1, hour, array_agg(sensor) from generate_series($2::float8::bigint, $3::float8::bigint - 1, 3600) hour,
  generate_series(1, $4::int) sensor group by hour
"""


async def fill(dsn: str, begin: float, rows: int, sensors: int) -> dict[str, float]:
    """Fills both tables and makes the summaries; the seconds that each took."""
    each = max(1, rows // 2 // sensors // DAYS)

    async def one(table: str) -> None:
        connection = await asyncpg.connect(dsn, command_timeout=LIMIT_S)
        try:
            for day in range(DAYS):
                query = FILL.format(table=table)
                await connection.execute(query, begin + day * DAY, sensors, DAY / each, each)
            await connection.execute(MARK, table, begin, begin + DAYS * DAY, sensors)
        finally:
            await connection.close()

    took = {}
    since = time.monotonic()
    await asyncio.gather(one("temperature"), one("average"))
    took["fill_s"], since = round(time.monotonic() - since, 1), time.monotonic()
    connection = await asyncpg.connect(dsn, command_timeout=LIMIT_S)
    try:
        while found := await hours.quiet(connection, begin + DAYS * DAY, quiet_s=0.0):
            for series, hour in found:
                await hours.summarise(connection, series, hour)  # or the loader does
        took["summaries_s"], since = round(time.monotonic() - since, 1), time.monotonic()
        await connection.execute("vacuum analyze")
        took["vacuum_s"] = round(time.monotonic() - since, 1)
        took["bytes"] = await connection.fetchval("select pg_database_size(current_database())")
    finally:
        await connection.close()
    return took


async def drop_days(dsn: str, begin: float, window: int) -> list[float]:
    """Drops the oldest days; the seconds for each."""
    retention_s = time.time() - begin - (DROPPED + 1) * DAY
    await asyncio.to_thread(retention.set_policy, dsn, retention_s)
    connection = await asyncpg.connect(dsn, command_timeout=LIMIT_S)
    try:
        await retention.advance(connection)
        took = []
        while True:
            since = time.monotonic()
            if await retention.drop_day(connection, window=window) is None:
                return took
            took.append(round(time.monotonic() - since, 3))
    finally:
        await connection.close()
        await asyncio.to_thread(retention.set_policy, dsn, 0.0)


def drain(settings: Settings, readings: int) -> dict[str, Any]:
    """Readings per second, and CPU time per reading, of one drain of the running stack."""
    command = [sys.executable, "-m", "backend_demo", "bench", "drain", "--running", "-o", "json"]
    options = ["--readings", str(readings), "--state-dir", str(settings.state_dir)]
    done = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)["drain"]
    return {name: found[name] for name in ("readings_per_s", "cpu_us_per_reading")}


def asked(url: str, times: int, **parameters: Any) -> float:
    """Milliseconds of a request to the gateway, the median of several."""
    took = []
    with httpx.Client(timeout=60) as client:
        for _ in range(times):
            since = time.perf_counter()
            client.get(url, params=parameters).raise_for_status()
            took.append(time.perf_counter() - since)
    return round(statistics.median(took) * 1000, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000_000, help="rows of both tables together")
    parser.add_argument("--sensors", type=int, default=100)
    parser.add_argument("--drain", type=int, default=300_000, help="readings of each drain; 0: none")
    parser.add_argument("--state-dir", type=Path)
    wanted = parser.parse_args()
    base = load(state_dir=wanted.state_dir)
    settings = StateDirectory(base.state_dir).attached(base, kafka=KAFKA_ADMIN)
    dsn, gateway, sensors = settings.postgres_dsn, settings.gateway_url, wanted.sensors
    begin = (time.time() // DAY - DAYS) * DAY
    year = {"from": begin, "to": begin + DAYS * DAY - 1}

    def state() -> dict[str, Any]:
        found: dict[str, Any] = {"temperature_latest_ms": asked(f"{gateway}/temperature_latest", 300, sensor_num=1)}
        return found | (drain(settings, wanted.drain) if wanted.drain else {})

    before = state()
    filled = asyncio.run(fill(dsn, begin, wanted.rows, sensors))
    after = state()
    readings = f"{gateway}/v1/readings"
    buckets = {
        "one_sensor_by_day": asked(readings, 5, sensor=1, bucket="1d", **year),
        "one_sensor_by_hour": asked(readings, 5, sensor=1, bucket="1h", limit=10_000, **year),
        "one_sensor_by_month_in_berlin": asked(readings, 5, sensor=1, bucket="1mo", tz="Europe/Berlin", **year),
        "all_sensors_by_day_first_page": asked(readings, 5, bucket="1d", **year),
        "all_sensors_by_month": asked(readings, 5, bucket="1mo", limit=10_000, **year),
    }
    dropped = asyncio.run(drop_days(dsn, begin, settings.aggregation_window))
    document = {
        "rows": wanted.rows,
        "sensors": sensors,
        "filled": filled,
        "before": before,
        "after": after,
        "buckets_of_a_year_ms": buckets,
        "dropping_a_day_s": dropped,
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
