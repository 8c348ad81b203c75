"""Old days are dropped whole, once their hours are summarised; nothing of them comes back; averages stay exact."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import asyncpg
import pytest
from faust.types import TP

from backend_demo.domain.average import average
from backend_demo.domain.bucket import AGGREGATES, parse_bucket
from backend_demo.domain.dead_letter import read_headers
from backend_demo.domain.fence import FenceRow
from backend_demo.domain.loading import Averages, Key, LoadPlan
from backend_demo.domain.reading import Reading, encode
from backend_demo.domain.topics import AGGREGATED_DATA, DEAD_LETTER, PROCESSED_DATA
from backend_demo.faust_batch.batch import Batch
from backend_demo.operations.verify import verify
from backend_demo.settings import load
from backend_demo.stages import loader
from backend_demo.stages.runtime.process import ServiceProcess
from backend_demo.stages.runtime.progress import Progress
from backend_demo.stages.tidying import tidying
from backend_demo.storage import buckets, hours, retention
from backend_demo.storage.copying import Tables
from backend_demo.storage.fence import move_fence, set_fence
from backend_demo.storage.selection import Selection
from backend_demo.storage.session import Session
from backend_demo.storage.write import write
from tests.support.kafka_log import Log, LogConsumer, LogProducer
from tests.support.postgres import PostgresServer, migrated

DAY = 86_400.0
TODAY = time.time() // DAY * DAY
WINDOW = 4
#: Rows of five days, the oldest eight days ago, at the beginning of each second hour; sensor 2 has stopped early.
ROWS: dict[Key, float] = {
    **{(1, TODAY - 8 * DAY + i * 7200.0): 20 + i % 7 / 4 for i in range(60)},
    **{(2, TODAY - 8 * DAY + i * 1800.0): 10.0 + i for i in range(6)},
}
PARTITION = ("processed-data", 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with migrated(tmp_path_factory.mktemp("retention")) as found:
        yield found


@pytest.fixture
def run(server: PostgresServer) -> Callable[[Callable[[Any], Awaitable[None]]], None]:
    """Runs `work(connection)` as the loader, on tables that hold ROWS and their averages."""

    def with_rows(work: Callable[[Any], Awaitable[None]]) -> None:
        server.sql("truncate temperature, average, fence, temperature_hour, average_hour, stale_hour, retention")
        server.sql("insert into retention default values")

        async def main() -> None:
            connection = await asyncpg.connect(server.dsn("bdemo_loader"))
            try:
                await load_rows(connection, ROWS)
                await work(connection)
            finally:
                await connection.close()

        asyncio.run(main())

    return with_rows


def averages_of(rows: Mapping[Key, float]) -> dict[Key, float]:
    found, values = {}, {}
    for (sensor, timestamp), value in sorted(rows.items()):
        newest = values.setdefault(sensor, [])
        newest.append(value)
        found[sensor, timestamp] = average(newest[-WINDOW:])
    return found


async def store(connection: Any, plan: LoadPlan) -> None:
    async def ignore(conflicts: Mapping[Key, float]) -> None:
        pass

    await write(connection, plan, Tables(), window=WINDOW, on_conflicts=ignore)


async def load_rows(connection: Any, rows: Mapping[Key, float]) -> None:
    await store(connection, LoadPlan(readings=rows, averages=[Averages(averages_of(rows))]))


async def summarise(connection: Any) -> None:
    for series, hour in await hours.quiet(connection, math.inf, quiet_s=0.0):
        await hours.summarise(connection, series, hour)


async def keep(server: PostgresServer, days: float) -> None:
    await asyncio.to_thread(retention.set_policy, server.dsn("bdemo"), days * DAY)


async def table(connection: Any, name: str) -> dict[Key, float]:
    return {
        (row[0], row[1]): row[2] for row in await connection.fetch(f"select sensor_num, timestamp, value from {name}")
    }


async def days_of(connection: Any) -> list[tuple[Any, ...]]:
    wanted = Selection("temperature", (), 0.0, TODAY)
    return (await buckets.page(connection, wanted, parse_bucket("1d"), list(AGGREGATES), "UTC", 100))[0]


def test_without_the_setting_nothing_is_dropped(server: PostgresServer, run: Any) -> None:
    async def work(connection: Any) -> None:
        await summarise(connection)
        assert await retention.advance(connection) == -math.inf
        assert await retention.drop_day(connection, window=WINDOW) is None
        assert await table(connection, "temperature") == ROWS

    run(work)


def test_old_days_are_dropped_one_by_one_and_their_summaries_stay(server: PostgresServer, run: Any) -> None:
    async def work(connection: Any) -> None:
        await keep(server, 4)
        before = await days_of(connection)
        kept_from = await retention.advance(connection)
        assert kept_from == TODAY - 5 * DAY  # a reading may need a day from the collection to the table
        assert await retention.drop_day(connection, window=WINDOW) is None, "its hours are not summarised yet"
        await summarise(connection)
        dropped = []
        while (day := await retention.drop_day(connection, window=WINDOW)) is not None:
            dropped.append(day)
        assert dropped == [12 - 3 + 6 - 3, 12, 12]
        left = await table(connection, "temperature")
        old = {key for key in left if key[1] < kept_from}
        assert {key: value for key, value in ROWS.items() if key[1] >= kept_from}.items() <= left.items()
        assert old == set(sorted(key for key in ROWS if key[0] == 1 and key[1] < kept_from)[1 - WINDOW :]) | set(
            sorted(key for key in ROWS if key[0] == 2)[1 - WINDOW :]
        )
        assert (await table(connection, "average")).keys() == left.keys()
        assert await days_of(connection) == before

    run(work)


def test_readings_of_a_dropped_time_are_not_stored(server: PostgresServer, run: Any) -> None:
    async def work(connection: Any) -> None:
        await keep(server, 4)
        kept_from = await retention.advance(connection)
        late = {(1, kept_from - 0.000001): 1.0, (1, kept_from): 2.0}
        with pytest.raises(retention.TooOld) as refused:
            await load_rows(connection, late)
        assert refused.value.kept_from == kept_from
        assert await table(connection, "temperature") == ROWS
        await load_rows(connection, {(1, kept_from + 1): 2.0})

    run(work)


def test_the_time_moves_between_transactions_only(server: PostgresServer, run: Any) -> None:
    """A loader's transaction that began before is waited for; whatever it brings is summarised before the drop."""

    async def work(connection: Any) -> None:
        await keep(server, 4)
        await set_fence(connection, {PARTITION: FenceRow(0)}, {})
        other = await asyncpg.connect(server.dsn("bdemo_loader"))
        try:
            async with connection.transaction():
                await move_fence(connection, {PARTITION: (0, 1)})
                advancing = asyncio.create_task(retention.advance(other))
                waiting = "select count(*) from pg_locks where not granted and relation = 'fence'::regclass"
                while not await connection.fetchval(waiting):
                    assert not advancing.done()
            assert await advancing == TODAY - 5 * DAY
        finally:
            await other.close()

    run(work)


def test_averages_behind_the_cut_stay_exact(server: PostgresServer, run: Any) -> None:
    """A late reading just behind it needs the readings before it."""

    async def work(connection: Any) -> None:
        await keep(server, 4)
        kept_from = await retention.advance(connection)
        await summarise(connection)
        while await retention.drop_day(connection, window=WINDOW) is not None:
            pass
        late = (1, kept_from + 60.0)
        await store(connection, LoadPlan(readings={late: 50.0}, averages=[Averages({}, [late]), Averages()]))
        expected = averages_of({**ROWS, late: 50.0})
        found = await table(connection, "average")
        assert found == {key: expected[key] for key in found}
        assert late in found

    run(work)
    settings = load(postgres_dsn=server.dsn("bdemo_reader"), aggregation_window=WINDOW)
    verdict = asyncio.run(verify(settings, wait_s=1.0))
    assert verdict.passed, verdict
    assert verdict.retention == (TODAY - 5 * DAY, 36, 36)
    server.sql("update average set value = value + 1 where sensor_num = 1 and timestamp = $1", TODAY - 5 * DAY)
    verdict = asyncio.run(verify(settings, wait_s=1.0))
    assert verdict.average_wrong.count == 1


def test_the_loader_refuses_readings_of_a_dropped_time(server: PostgresServer, run: Any) -> None:
    """They passed the collection long ago; the rest of their batch is stored, and what comes after them too."""
    kept_from = TODAY - 5 * DAY
    log = Log()
    source = TP(PROCESSED_DATA, 0)
    for timestamp, value in ((kept_from - 1.0, 1.5), (kept_from, 2.5), (kept_from - 2.0, 3.5)):
        log.append(source, b"7", encode(Reading(7, timestamp, value)))
        log.append(TP(AGGREGATED_DATA, 0), b"7", encode(Reading(7, timestamp, value)))

    async def work(connection: Any) -> None:
        await keep(server, 4)
        assert await retention.advance(connection) == kept_from
        member = LogConsumer(log, "loader", (PROCESSED_DATA, AGGREGATED_DATA))
        session = Session(server.dsn("bdemo_loader"))
        settings = load(postgres_dsn=server.dsn("bdemo_loader"))
        stage = loader.Loader(settings, LogProducer(log), Progress("loader"), ServiceProcess(), session)  # type: ignore[arg-type]

        async def batches() -> AsyncIterator[Batch]:
            while (batch := member.poll([1])) is not None:
                yield batch

        try:
            await member.assigned([0], stage)
            await loader.run(batches(), stage)
        finally:
            session.close()
        for name in ("temperature", "average"):
            assert {key: value for key, value in (await table(connection, name)).items() if key[0] == 7} == {
                (7, kept_from): 2.5
            }
        letters = [(letter.value, read_headers(letter.headers)) for letter in log.records[TP(DEAD_LETTER, 0)]]
        assert [value for value, _ in letters] == [log.records[source][at].value for at in (0, 2)]
        assert {(headers["stage"], headers["reason"]) for _, headers in letters} == {("loader", "old")}
        member.commit()
        assert log.committed["loader"][source].offset == 3

    run(work)


def test_the_loader_does_all_of_it_behind_the_pipeline(server: PostgresServer, run: Any) -> None:
    async def work(connection: Any) -> None:
        await keep(server, 4)
        await connection.execute("update stale_hour set since = now() - interval '1 minute'")
        settings = load(postgres_dsn=server.dsn("bdemo_loader"), retention="4d", aggregation_window=WINDOW)
        async with asyncio.timeout(60), tidying(settings, ServiceProcess()):
            while await connection.fetchval("select dropped_to from retention") != TODAY - 5 * DAY:
                pass
        assert await connection.fetchval("select count(*) from stale_hour") == 0
        assert await connection.fetchval("select sum(count) from temperature_hour") == len(ROWS)

    run(work)


def test_only_the_loader_may_call_what_drops(server: PostgresServer) -> None:
    for function in ("advance_retention()", "drop_readings(integer)"):
        held = server.sql(
            "select rolname::text from pg_roles where rolname like 'bdemo%' and "
            "has_function_privilege(rolname, $1, 'execute') order by 1",
            function,
        )
        assert [row[0] for row in held] == ["bdemo", "bdemo_loader"]


@pytest.mark.parametrize(
    "statement",
    [
        "update retention set keep_s = 86400",
        "update retention set kept_from = 'infinity'",
        "insert into retention default values",
        "delete from temperature",
        "delete from temperature_hour",
    ],
)
def test_the_loader_drops_only_what_the_owner_no_longer_keeps(server: PostgresServer, run: Any, statement: str) -> None:
    server.provision()  # as every `up` does: rights are given again

    async def work(connection: Any) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)

    run(work)
