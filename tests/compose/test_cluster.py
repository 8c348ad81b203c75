"""Three brokers: any of them may be killed or stopped under load; nothing is lost, and writing goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from backend_demo.domain.topics import TOPICS
from backend_demo.settings import Settings
from tests.compose.conftest import Bdemo
from tests.support.engine import needs_engine
from tests.support.kafka import brokers
from tests.support.wait import eventually

pytestmark = needs_engine

#: Two for each test: a broker's return takes a start of one, most of a minute beside the others.
LOSSES = [[("kafka", "kill"), ("kafka-2", "stop")], [("kafka-3", "kill"), ("kafka", "stop")]]

#: After the loss of a broker, its partitions have another leader within the session of 3 s.
GOES_ON_S = 30


@pytest.fixture(scope="module")
def bdemo(opened: Callable[..., Bdemo], tmp_path_factory: pytest.TempPathFactory) -> Bdemo:
    bdemo = opened(tmp_path_factory.mktemp("cluster") / "state", ("cluster",))
    bdemo.up("--without=prometheus")
    return bdemo


def settings_of(bdemo: Bdemo) -> Settings:
    return bdemo.stack.state.attached(Settings())


def test_every_partition_is_on_every_broker(bdemo: Bdemo) -> None:
    async def replicas() -> set[int]:
        admin = AIOKafkaAdminClient(**brokers(settings_of(bdemo)).connection())
        await admin.start()
        try:
            described = await admin.describe_topics([*TOPICS, "__consumer_offsets"])
        finally:
            await admin.close()
        return {len(partition["replicas"]) for topic in described for partition in topic["partitions"]}

    assert asyncio.run(replicas()) == {3}


def rows(bdemo: Bdemo) -> int:
    import asyncpg

    async def count() -> int:
        connection = await asyncpg.connect(settings_of(bdemo).postgres_dsn)
        try:
            return int(await connection.fetchval("select count(*) from temperature"))
        finally:
            await connection.close()

    return asyncio.run(count())


@pytest.mark.parametrize("losses", LOSSES, ids=["kafka, kafka-2", "kafka-3, kafka"])
def test_any_broker_may_go(bdemo: Bdemo, tmp_path: Path, losses: list[tuple[str, str]]) -> None:
    with bdemo.load(tmp_path / "ledger.jsonl") as load:
        eventually(lambda: load.acknowledged() > 200, "200 readings")
        for name, how in losses:
            if how == "kill":
                bdemo.kill(name)
            else:
                bdemo.stack.stop(name)
            before, begin = rows(bdemo), time.monotonic()
            eventually(lambda: rows(bdemo) > before + 400, f"rows without {name}", GOES_ON_S)  # noqa: B023
            print(f"without {name}: 400 rows after {time.monotonic() - begin:.1f} s")
            bdemo.up("--without=prometheus")
        load.end()
