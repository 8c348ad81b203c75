"""Three brokers: any of them may be killed or stopped under load; nothing is lost, and writing goes on."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from backend_demo.domain.topics import TOPICS
from backend_demo.errors import ServiceFailed
from backend_demo.operations.kafka_log import partitions_of
from backend_demo.settings import Settings
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.state.secrets import KAFKA_READER
from tests.compose.conftest import Bdemo
from tests.support.engine import needs_engine
from tests.support.kafka import brokers
from tests.support.kafka_access import FORGED, assert_rights, is_closed, strange_container
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


def settings_of(bdemo: Bdemo, user: str = KAFKA_READER) -> Settings:
    return bdemo.stack.state.attached(Settings(), kafka=user)


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


def test_every_broker_knows_the_users_and_refuses_strangers(bdemo: Bdemo) -> None:
    assert_rights(lambda user: brokers(settings_of(bdemo, user)))
    reader = brokers(settings_of(bdemo))
    servers = reader.bootstrap.split(",")
    assert len(servers) == 3
    for server in servers:
        assert set(TOPICS) <= set(asyncio.run(partitions_of(replace(reader, bootstrap=server))))
        with pytest.raises(ServiceFailed, match="refuses user 'kafka-reader', or the password"):
            asyncio.run(partitions_of(replace(reader, bootstrap=server, password="guessed")))
        host, port = server.split(":")
        for sent in FORGED.values():
            with socket.create_connection((host, int(port)), 10) as stream:
                assert is_closed(stream, sent)


def test_controllers_refuse_strange_containers(bdemo: Bdemo) -> None:
    for name in ("kafka", "kafka-2", "kafka-3"):
        found = strange_container(bdemo.stack.project, name, (9093, 19092))
        assert set(found.pop("answers").values()) == {""}
        assert found == {"health": "closed"}


def test_data_of_an_earlier_version_are_refused(bdemo: Bdemo) -> None:
    """Their logs can be written by the brokers only."""
    bdemo("down")
    volume = next(name for name in bdemo.volumes() if name.endswith("kafka-2-data"))
    image = bdemo.stack.project.services["kafka-2"]["image"]
    within = ("run", "--rm", "-v", f"{volume}:/data", image, "bash", "-c")
    written = compose_docker.ask(*within, "cat /data/bdemo-users.json && rm /data/bdemo-users.json")
    assert "kafka-admin" in json.loads(written)
    try:
        said = bdemo.up("kafka", code=5)
    finally:
        bdemo("down")
    assert "error: kafka-setup failed: " in said
    assert "bdemo down --wipe" in said
