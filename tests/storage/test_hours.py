"""Buckets from summaries of hours equal those that PostgreSQL makes of all rows, bit by bit, whatever came when."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend_demo.domain.bucket import AGGREGATES, parse_bucket
from backend_demo.domain.loading import Averages, Key, LoadPlan
from backend_demo.storage import buckets, hours
from backend_demo.storage.copying import Tables
from backend_demo.storage.selection import Selection, Series
from backend_demo.storage.write import write
from tests.support.postgres import PostgresServer, migrated

#: The night in which clocks go back in Europe, and some days around it.
NIGHT = 1_698_537_600.0
HOUR = 3600.0
#: Sensors with rows.
SENSORS = (1, 2, 7)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with migrated(tmp_path_factory.mktemp("hours")) as found:
        yield found


async def load(connection: Any, rows: Mapping[Key, float]) -> None:
    """Stores rows as the loader does, as readings and as averages."""

    async def ignore(conflicts: Mapping[Key, float]) -> None:
        pass

    plan = LoadPlan(readings=rows, averages=[Averages(stored=dict(rows))])
    await write(connection, plan, Tables(), window=3, on_conflicts=ignore)


async def summarise(connection: Any, most: int) -> int:
    """Computes at most so many stale hours, however new they are; returns how many."""
    await hours.merge(connection)
    found = await hours.quiet(connection, math.inf, quiet_s=0.0)
    for series, hour in found[:most]:
        assert await hours.summarise(connection, series, hour) is not None
    return len(found[:most])


def begin_of(timestamp: float, size: str, zone: str) -> float:
    """Where the bucket of a time begins, by Python's own calendar."""
    local = datetime.fromtimestamp(timestamp, ZoneInfo(zone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    bucket = parse_bucket(size)
    if bucket.seconds is not None:
        since = midnight.astimezone(UTC).timestamp()
        return since + (timestamp - since) // bucket.seconds * bucket.seconds
    days = {"day": midnight, "month": midnight.replace(day=1), "year": midnight.replace(month=1, day=1)}
    return days[bucket.unit].astimezone(UTC).timestamp()


def expected(rows: Mapping[Key, float], size: str, zone: str, start: float, end: float) -> list[tuple[Any, ...]]:
    """The buckets by brute force: sums are those of hours, and an hour's is that of its values in the order of time."""
    found: dict[tuple[int, float], list[tuple[float, float]]] = {}
    for (sensor, timestamp), value in sorted(rows.items()):
        if start <= timestamp <= end:
            found.setdefault((sensor, begin_of(timestamp, size, zone)), []).append((timestamp, value))
    answer = []
    for (sensor, begin), of in sorted(found.items()):
        parts: dict[float, float] = {}
        for timestamp, value in of:
            hour = timestamp // HOUR
            parts[hour] = parts[hour] + value if hour in parts else value
        total = None
        for part in parts.values():
            total = part if total is None else total + part
        assert total is not None
        values = [value for _, value in of]
        answer.append((sensor, begin, total / len(of), min(values), max(values), len(of), values[0], values[-1]))
    return answer


# mostly in the same few hours, so that rows come late to hours that were summarised
near = st.integers(0, 3 * 3600 * 4).map(lambda quarter: NIGHT + quarter / 4)
far = st.integers(0, 100 * 3600 * 4).map(lambda quarter: NIGHT - 30 * HOUR + quarter / 4)
times = st.one_of(near, near, near, far)
values = st.sampled_from([20.0, 21.37, 0.1 + 0.2, -7.7, 1e16, 3.3333, 1e300])
rows = st.dictionaries(st.tuples(st.sampled_from(SENSORS), times), values, min_size=8, max_size=60)


def test_rows_of_an_earlier_version_are_summarised(server: PostgresServer) -> None:
    """The tables of revision 0003, with rows."""
    server.sql("drop table temperature_hour, average_hour, stale_hour, retention")
    server.sql("drop function advance_retention, drop_readings")
    server.sql("truncate temperature, average")
    server.sql("update alembic_version set version_num = '0003'")
    stored = {(sensor, NIGHT + i * 700.5): 20 + i / 7 for sensor in SENSORS for i in range(30)}
    for name in get_args(Series):
        insert = f"insert into {name} (sensor_num, timestamp, value) values ($1, $2, $3)"
        for (sensor, timestamp), value in stored.items():
            server.sql(insert, sensor, timestamp, value)
    server.migrate()

    async def run() -> None:
        connection = await asyncpg.connect(server.dsn("bdemo_loader"))
        try:
            while await summarise(connection, 100):
                pass
            for series in get_args(Series):
                assert await connection.fetchval(f"select sum(count) from {series}_hour") == len(stored)
                await connection.execute(f"update {series}_hour set sum = 2 * sum")  # seen below: it is used
                wanted = Selection(series, (), 0.0, NIGHT + 1e6)
                page, _ = await buckets.page(connection, wanted, parse_bucket("1y"), ["count", "mean"], "UTC", 9)
                assert [row[2] for row in page] == [30] * len(SENSORS)
                assert all(row[3] > 40 for row in page)
        finally:
            await connection.close()

    asyncio.run(run())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_buckets_are_those_of_the_rows(server: PostgresServer, data: st.DataObject) -> None:
    """Rows come in any order, late ones too, averages change, and hours are summarised at any time between."""

    async def run() -> None:
        connection = await asyncpg.connect(server.dsn("bdemo_loader"))
        owner = await asyncpg.connect(server.dsn("bdemo"))
        try:
            await owner.execute("truncate temperature, average, fence, temperature_hour, average_hour, stale_hour")
            stored: dict[Series, dict[Key, float]] = {series: {} for series in get_args(Series)}
            for _ in range(data.draw(st.integers(2, 4), label="batches")):
                batch = data.draw(rows, label="rows")
                await load(connection, batch)
                stored["temperature"] = batch | stored["temperature"]  # the first reading stays, the last average
                stored["average"] |= batch
                await summarise(connection, data.draw(st.integers(0, 12), label="summarised"))
                await check(owner, stored, data)
            while await summarise(connection, 100):
                pass
            assert await owner.fetchval("select count(*) from stale_hour") == 0
            await check(owner, stored, data)
        finally:
            await connection.close()
            await owner.close()

    asyncio.run(run())


async def check(connection: Any, stored: Mapping[Series, Mapping[Key, float]], data: st.DataObject) -> None:
    series = data.draw(st.sampled_from(get_args(Series)), label="series")
    size = data.draw(st.sampled_from(["30m", "45m", "1h", "2h", "7h", "1d", "1mo", "1y"]), label="size")
    zone = data.draw(st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"]), label="zone")
    start, end = sorted(data.draw(st.tuples(times, times), label="range"))
    start, end = data.draw(st.sampled_from([(start, end), (0.0, 253_402_300_799.0), (0.0, end)]), label="whole")
    descending = data.draw(st.booleans(), label="descending")
    wanted = expected(stored[series], size, zone, start, end)
    if any(value > 1e290 for _, value in stored[series].items()):
        wanted = [(*row[:2], *row[3:]) for row in wanted]  # no sum of them is asked for
        aggregates = [each for each in AGGREGATES if each != "mean"]
    else:
        aggregates = list(AGGREGATES)
    found: list[tuple[Any, ...]] = []
    after, more = None, True
    while more:
        selection = Selection(series, data.draw(st.sampled_from([(), SENSORS])), start, end, descending, after)
        page, more = await buckets.page(connection, selection, parse_bucket(size), aggregates, zone, limit=5)
        found += page
        after = page[-1][:2] if page else None
    assert found == (wanted[::-1] if descending else wanted)
