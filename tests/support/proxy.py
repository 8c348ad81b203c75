"""The MQTT proxy in tests: processes of it, who may log in, and what it has written to Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
from aiokafka import TopicPartition

from backend_demo.adapters import kafka
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.topics import DEAD_LETTER, PARTITIONS, SENSOR_DATA
from tests.support.kafka import environment as kafka_environment
from tests.support.mqtt_client import MqttClient, connected
from tests.support.ports import free_port
from tests.support.wait import eventually


@dataclass(frozen=True)
class Login:
    """A listener, and a user who may log in there. `words`: the same for the clients of this package."""

    host: str
    port: int
    username: str
    password: str
    words: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", {"username": self.username, "password": self.password})

    def client(self, level: int = 4, **fields: Any) -> contextlib.AbstractContextManager[MqttClient]:
        """A client that is logged in."""
        return connected(self.host, self.port, level, **{**self.words, **fields})

    def raw(self) -> MqttClient:
        """A client that has not sent CONNECT yet."""
        return MqttClient(self.host, self.port)

    def at(self, port: int) -> Login:
        """The same user at another listener."""
        return Login(self.host, port, self.username, self.password)


@dataclass(frozen=True)
class Written:
    """A record in Kafka."""

    key: bytes
    value: bytes
    headers: dict[str, list[bytes]]

    @property
    def reason(self) -> str:
        """Why it is a dead letter."""
        return self.headers["reason"][0].decode()


class KafkaTopics:
    """What is in `sensor-data` and in the dead letters."""

    def __init__(self, brokers: Brokers) -> None:
        self.brokers = brokers

    def readings(self, topics: Collection[str]) -> list[Written]:
        """The records of these MQTT topics."""
        return self._read(SENSOR_DATA, {topic.encode() for topic in topics})

    def dead_letters(self, topics: Collection[str | bytes]) -> list[Written]:
        """The dead letters of these MQTT topics."""
        return self._read(DEAD_LETTER, {each.encode() if isinstance(each, str) else each for each in topics})

    def payloads(self, topic: str) -> list[bytes]:
        """The payloads of one MQTT topic, oldest first."""
        return [each.value for each in self.readings([topic])]

    def _read(self, name: str, keys: Collection[bytes]) -> list[Written]:
        return asyncio.run(_records(self.brokers, name, keys))


async def _records(brokers: Brokers, name: str, keys: Collection[bytes]) -> list[Written]:
    partitions = [TopicPartition(name, number) for number in range(PARTITIONS)]
    consumer = kafka.reader(brokers, "bdemo-test")
    await consumer.start()
    found: list[Written] = []
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    if (record.key or b"") in keys:
                        headers: dict[str, list[bytes]] = {}
                        for header, value in record.headers:
                            headers.setdefault(header, []).append(value)
                        found.append(Written(record.key or b"", record.value or b"", headers))
    finally:
        await consumer.stop()
    return found


class ProxyProcess:
    """`bdemo run mqtt --standalone`, beside the one of the stack; several may share a port."""

    def __init__(
        self,
        brokers: Brokers,
        users_file: Path,
        folder: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """`settings`: further settings, by the names of their fields."""
        self.port = port or free_port()
        self.stats_port = free_port()
        self._log = (folder / f"proxy-{self.port}-{self.stats_port}.log").open("w+")
        chosen = {
            "state_dir": folder,
            "mqtt_users_file": users_file,
            "mqtt_port": self.port,
            "mqtt_stats_port": self.stats_port,
            **settings,
        }
        environment = {f"BDEMO_{name.upper()}": str(value) for name, value in chosen.items()}
        environment |= kafka_environment(brokers)
        command = [sys.executable, "-m", "backend_demo", "run", "mqtt", "--standalone"]
        self.process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=self._log)

    def metric(self, line: str) -> float:
        """The value of one line of its metrics; 0 when it is not there."""
        return metric_at(self.stats_port, line)

    def ready(self) -> bool:
        """Whether it listens and Kafka answers it."""
        assert self.process.poll() is None, self.said()
        return self.metric('bdemo_service_ready{service="mqtt"}') == 1

    def alive(self) -> bool:
        return self.process.poll() is None

    def rss_mb(self) -> float:
        """Its memory, MiB."""
        return rss_mb(self.process.pid)

    def said(self) -> str:
        """Its log so far."""
        self._log.seek(0)
        return self._log.read()

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def end(self) -> str:
        """Stops it, and returns its log."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        said = self.said()
        self._log.close()
        return said


@contextlib.contextmanager
def standalone(
    topics: KafkaTopics, users_file: Path, folder: Path, *, port: int | None = None, **settings: object
) -> Iterator[ProxyProcess]:
    """A ready process of the proxy with these settings."""
    process = ProxyProcess(topics.brokers, users_file, folder, port=port, settings=settings)
    try:
        eventually(process.ready, "the proxy is ready")
        yield process
    finally:
        process.end()


def metric_at(port: int, line: str) -> float:
    """The value of one line of the metrics at a port; 0 when it is not there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def rss_mb(pid: int) -> float:
    """The memory of a process, MiB."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def holds_for(seconds: float, true: Callable[[], bool], what: str) -> None:
    """Fails when `true` is False at any time within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert true(), f"no longer: {what}"
        time.sleep(0.05)
