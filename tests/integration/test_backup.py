"""`bdemo backup` of a stack in the middle of its work, and what `bdemo restore` makes of it beside the running one."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from backend_demo.adapters import kafka
from backend_demo.domain.topics import PARTITIONS, SENSOR_DATA
from backend_demo.settings import Settings
from backend_demo.stack.embedded.stack import EmbeddedStack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN
from tests.support.kafka import brokers
from tests.support.ports import listens
from tests.support.sensors import new_sensor
from tests.support.shell import Shell
from tests.support.wait import eventually

RATE, SENSORS = 50, 4


@dataclass
class Made:
    """A backup that was made while sensors published."""

    file: Path
    document: dict[str, Any]
    ledger: Path
    """All that the sensors did, to their end."""
    ledger_before: Path
    """The ledger while the stack was stopped: what the backup must hold."""


def sensors(first: int, *words: str) -> tuple[str, ...]:
    return ("simulate", "--first-sensor", str(first), "--sensors", str(SENSORS), "--rate", str(RATE), *words)


@pytest.fixture(scope="module")
def first_sensor() -> int:
    return min(new_sensor() for _ in range(SENSORS))


@pytest.fixture(scope="module")
def made(running: Any, first_sensor: int, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Sensors publish before, while the stack is stopped for the backup, and after."""
    settings, folder = running[0], tmp_path_factory.mktemp("backup")
    bdemo, ledger, before = Shell(settings.state_dir), folder / "ledger", folder / "ledger.before"
    faults = ("--late", "0.1", "--duplicate", "0.1", "--corrupt", "0.02")
    publishing = subprocess.Popen(
        bdemo.command(*sensors(first_sensor, *faults, "--flush", "120s", "--ledger", str(ledger), "-o", "json")),
        stdout=subprocess.PIPE,
        text=True,
    )

    def copy_while_stopped() -> None:
        eventually(lambda: not listens(settings.mqtt_port), "that MQTT is down")
        shutil.copy(ledger, before)

    watching = threading.Thread(target=copy_while_stopped)
    try:
        eventually(lambda: ledger.exists() and ledger.read_text().count("acked") > 300, "readings flow")
        watching.start()
        document = json.loads(bdemo("backup", str(folder / "backup"), "-o", "json").stdout)
        watching.join()
        acknowledged = ledger.read_text().count("acked")
        eventually(lambda: ledger.read_text().count("acked") > acknowledged + 100, "readings flow again")
        publishing.send_signal(signal.SIGINT)
        summary = json.loads(publishing.communicate(timeout=130)[0])
        assert (summary["failed"], summary["unsent"]) == (0, 0)
    finally:
        publishing.kill()
        publishing.wait()
    return Made(folder / "backup", document, ledger, before)


def ends_of(settings: Settings, topic: str) -> list[int]:
    """Where each partition of a topic ends."""

    async def look() -> list[int]:
        consumer = kafka.reader(brokers(settings), "test")
        await consumer.start()
        try:
            found = await consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
        finally:
            await consumer.stop()
        return [found[partition] for partition in sorted(found)]

    return asyncio.run(look())


def test_the_stack_goes_on_after_a_backup(bdemo: Shell, made: Made) -> None:
    assert made.file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in made.file.parent.iterdir()} == {"backup", "ledger", "ledger.before"}
    assert made.document["stopped_s"] > 0
    bdemo("verify", "--ledger", str(made.ledger))


def test_a_restored_stack_goes_on_beside_it(
    bdemo: Shell, made: Made, first_sensor: int, settings: Settings, tmp_path: Path
) -> None:
    """With nothing lost, nothing twice, and averages that reach over the time of the backup."""
    state = StateDirectory(tmp_path / "restored")
    shell, before = Shell(state.path), str(made.ledger_before)
    found = json.loads(shell("restore", str(made.file), "-o", "json").stdout)
    assert found["end_offsets"] == made.document["end_offsets"]
    stack = EmbeddedStack(state.path, Settings(state_dir=state.path, kafka_heap_mb=300), any_port=True)
    try:
        stack.up(("mqtt", "collection", "processing", "aggregation", "loader"), lambda status: None)
        restored = state.attached(Settings(), kafka=KAFKA_ADMIN)
        assert restored.mqtt_port != settings.mqtt_port
        assert restored.mqtt_password == settings.mqtt_password
        assert ends_of(restored, SENSOR_DATA) == found["end_offsets"][SENSOR_DATA]
        held = json.loads(shell("verify", "--ledger", before, "-o", "json").stdout)
        assert held["acked"] > 300
        shell(*sensors(first_sensor, "--count", "400", "--ledger", before))
        after = json.loads(shell("verify", "--ledger", before, "-o", "json").stdout)
        assert (after["acked"], after["of_others"]) == (held["acked"] + 400, 0)
        shell("verify")
        assert "a stack runs in" in shell("restore", "--force", str(made.file), code=6).stderr
    finally:
        stack.down()
    bdemo("verify", "--ledger", str(made.ledger))


def test_a_damaged_backup_leaves_nothing(made: Made, tmp_path: Path) -> None:
    damaged, content = tmp_path / "damaged", bytearray(made.file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert "damaged" in Shell(tmp_path / "none")("restore", str(damaged), code=8).stderr
    damaged.write_bytes(content[: len(content) // 3])
    assert "damaged" in Shell(tmp_path / "none")("restore", str(damaged), code=8).stderr
    assert list(tmp_path.iterdir()) == [damaged]
