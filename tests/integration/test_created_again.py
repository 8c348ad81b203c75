"""Topics are deleted under a running stack, and all of Kafka's data under a kept database: what follows is exact.

On a stack of its own, without load at the moment: a record that nobody had read is gone with its topic.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend_demo.adapters import kafka, postgres
from backend_demo.domain.topics import AGGREGATED_DATA, AGGREGATION_STATE, PROCESSED_DATA, SENSOR_DATA, SRC_DATA, TOPICS
from backend_demo.settings import Settings
from backend_demo.stack.base import ServiceStatus, Stack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN
from backend_demo.testing import running_stack
from tests.support.kafka import brokers
from tests.support.sensors import Publisher, exact, new_sensor
from tests.support.services import all_ready
from tests.support.wait import eventually

SENSORS = [new_sensor() for _ in range(3)]


WITHOUT = ("gateway", "poll")

#: The readings of all tests so far.
KNOWN: dict[tuple[int, float], float] = {}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Stack]]:
    with running_stack(tmp_path_factory.mktemp("again") / "state", without=WITHOUT) as found:
        yield found


def publish(folder: Path, count: int) -> None:
    """Publishes so many readings of each sensor, every tenth of them late, and waits until all tables are exact."""
    settings = StateDirectory(folder).attached(Settings(state_dir=folder), kafka=KAFKA_ADMIN)  # ports may be others
    with Publisher(settings) as publisher:
        for i in range(count):
            for sensor in SENSORS:
                late = 0.0305 if i % 10 == 9 else 0.0
                publisher.reading(sensor, time.time() - late, 20 + (len(KNOWN) + i) % 11)
        publisher.settle()
        KNOWN.update(publisher.acknowledged)

    def sql(text: str, *parameters: object) -> list[Any]:
        async def run() -> list[Any]:
            connection = await postgres.connect(settings.postgres_dsn)
            try:
                return list(await connection.fetch(text, *parameters))
            finally:
                await connection.close()

        return asyncio.run(run())

    exact(sql, KNOWN, limit_s=90)


def topics_of(settings: Settings) -> set[str]:
    async def ask() -> set[str]:
        async with kafka.admin(brokers(settings), "test", limit_s=30, request_timeout_s=20) as admin:
            return set(await admin.list_topics())

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "deleted",
    [
        {SENSOR_DATA, SRC_DATA, PROCESSED_DATA},
        {AGGREGATED_DATA},
        {AGGREGATION_STATE},
    ],
    ids=["inputs", "averages", "state"],
)
def test_topics_deleted_under_a_running_stack(settings: Settings, stack: Stack, deleted: set[str]) -> None:
    """More is published than before, so the new topics are soon longer than what is remembered of the old ones."""
    publish(settings.state_dir, 30)

    async def delete() -> None:
        async with kafka.admin(brokers(settings), "test", limit_s=30, request_timeout_s=20) as admin:
            await admin.delete_topics(sorted(deleted))

    asyncio.run(delete())
    eventually(lambda: not deleted & topics_of(settings), "the topics are gone", 30)
    said: list[str] = []

    def report(status: ServiceStatus) -> None:
        said.append(status.detail)

    stack.up((), report, without=WITHOUT)
    assert any("made again, empty: " + ", ".join(name for name in TOPICS if name in deleted) in text for text in said)
    publish(settings.state_dir, 100)
    eventually(lambda: all_ready(stack), "the stack is ready", 90)


def test_kafka_is_wiped_and_the_database_kept(settings: Settings, stack: Stack) -> None:
    folder = settings.state_dir
    publish(folder, 5)
    stack.down()
    shutil.rmtree(folder / "kafka")
    stack.up((), lambda status: None, without=WITHOUT)
    publish(folder, 25)
