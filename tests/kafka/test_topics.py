"""Topics that somebody deletes on a running stack: `up` makes them again and says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

from backend_demo.adapters import kafka
from backend_demo.cli.progress import detail
from backend_demo.domain.topics import DEAD_LETTER, SENSOR_NAMES, TOPICS
from backend_demo.operations.kafka_log import partitions_of
from backend_demo.settings import Settings
from backend_demo.stack.base import ServiceStatus
from backend_demo.stack.open import open_stack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN
from tests.support.kafka import brokers
from tests.support.wait import eventually


def test_topics_that_were_deleted_are_made_again(tmp_path: Path) -> None:
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
        assert up() == {f"already running; made again, empty: {DEAD_LETTER}, {SENSOR_NAMES}"}
        assert set(asyncio.run(partitions_of(server))) >= set(TOPICS)
    finally:
        stack.down(wipe=True)
