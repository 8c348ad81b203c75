"""Topics that somebody deletes on a running stack: services name them, `up` makes them again and says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers
from backend_demo.cli.progress import detail
from backend_demo.domain.topics import DEAD_LETTER, PROCESSED_DATA, SENSOR_NAMES, TOPICS
from backend_demo.errors import PrerequisiteMissing
from backend_demo.faust_batch.producer import BatchProducer
from backend_demo.operations.kafka_log import partitions_of
from backend_demo.settings import Settings
from backend_demo.stack.base import ServiceStatus
from backend_demo.stack.open import open_stack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN
from backend_demo.stages.runtime import worker
from tests.support.kafka import brokers
from tests.support.wait import eventually


async def start_service(server: Brokers) -> None:
    """The first that a service does, with less patience."""
    producer = BatchProducer(**server.connection(), client_id="test")
    await producer.start()
    try:
        await worker.check_topics(producer, (PROCESSED_DATA, DEAD_LETTER))
    finally:
        await producer.stop()


def test_topics_that_were_deleted_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "TOPICS_WAIT_S", 0.5)
    folder = tmp_path / "state"
    stack = open_stack(Settings(state_dir=folder, stack="embedded"), any_port=True)
    reports: list[ServiceStatus] = []

    def up() -> set[str]:
        reports.clear()
        stack.up(("kafka",), reports.append)
        return {detail(status) for status in reports if status.state == "ready"}

    try:
        assert up() == {""}
        assert up() == {"already running"}
        server = brokers(StateDirectory(folder).attached(Settings(state_dir=folder), kafka=KAFKA_ADMIN))

        async def delete() -> None:
            async with kafka.admin(server, "test", limit_s=30, request_timeout_s=20) as admin:
                await admin.delete_topics([DEAD_LETTER, SENSOR_NAMES])

        asyncio.run(delete())
        eventually(lambda: len(asyncio.run(partitions_of(server))) == len(TOPICS) - 2, "the topics are gone", 30)
        with pytest.raises(PrerequisiteMissing, match=f"topic {DEAD_LETTER} has 0 partitions") as caught:
            asyncio.run(start_service(server))
        assert caught.value.hint == "create the topics with: bdemo migrate"
        assert up() == {f"already running; made again, empty: {DEAD_LETTER}, {SENSOR_NAMES}"}
        assert set(asyncio.run(partitions_of(server))) >= set(TOPICS)
    finally:
        stack.down(wipe=True)
