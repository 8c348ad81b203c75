"""kill -9, SIGTERM and copies: what was acknowledged is in Kafka, and clients go on."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from backend_demo.mqtt.codec.packets import Ack, Disconnect, PacketType, ReasonCode
from backend_demo.stack.base import Stack
from tests.support.proxy import KafkaTopics, Login, ProxyProcess
from tests.support.services import pid_of, state_of
from tests.support.wait import eventually

#: How often a process dies; a machine with two cores takes about a minute for 20.
KILLS = int(os.environ.get("KILLS", "6"))


class Ledger:
    """A paho client that comes back by itself, and what was acknowledged to it."""

    def __init__(self, login: Login, topic: str, qos: int, version: int) -> None:
        self.topic = topic
        self.acknowledged: list[bytes] = []
        self._sent: dict[int, bytes] = {}
        self._early: list[int] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._qos = qos
        clean = {} if version == mqtt.MQTTv5 else {"clean_session": False}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=topic, protocol=version, **clean)  # type: ignore[arg-type]
        self._client.username_pw_set(login.username, login.password)
        self._client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
        self._client.on_publish = self._on_publish
        self._client.connect(login.host, login.port)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _publish(self) -> None:
        number = 0
        while not self._stop.wait(0.001):
            with self._lock:
                if len(self._sent) < 200:
                    number += 1
                    payload = b"%d" % number
                    self._sent[self._client.publish(self.topic, payload, qos=self._qos).mid] = payload
                for mid in self._early:
                    self._acknowledge(mid)
                self._early.clear()

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        # a PUBREL that is sent again may reach a process which does not know it: MQTT 5 says so, and it is done
        assert not reason.is_failure or reason == "Packet identifier not found"
        self._early.append(mid)  # its thread holds locks of paho: the other one looks at it

    def _acknowledge(self, mid: int) -> None:
        self.acknowledged.append(self._sent.pop(mid))

    def end(self) -> None:
        """Publishes no more, waits until everything is acknowledged, and disconnects."""
        self._stop.set()
        self._thread.join(30)

        def settled() -> bool:
            while self._early:
                self._acknowledge(self._early.pop())
            return not self._sent

        try:
            eventually(settled, "the rest is acknowledged", 30)
        finally:
            self._client.disconnect()
            self._client.loop_stop()


@pytest.fixture
def pair(topics: KafkaTopics, users_file: Path, tmp_path: Path) -> Iterator[list[ProxyProcess]]:
    """Two processes at one port."""
    first = ProxyProcess(topics.brokers, users_file, tmp_path)
    processes = [first, ProxyProcess(topics.brokers, users_file, tmp_path, port=first.port)]
    try:
        for each in processes:
            eventually(each.ready, "the proxy is ready")
        yield processes
    finally:
        for each in processes:
            each.end()


def test_kill_9_loses_nothing_that_was_acknowledged(
    pair: list[ProxyProcess], topics: KafkaTopics, users_file: Path, tmp_path: Path, login: Login, topic: str
) -> None:
    """Of two copies at one port, one dies every time, and its clients find the other one."""
    at = login.at(pair[0].port)
    versions = [mqtt.MQTTv311, mqtt.MQTTv5]
    ledgers = [Ledger(at, f"{topic}/{qos}/{version}", qos, version) for qos in (1, 2) for version in versions]
    try:
        for number in range(KILLS):
            time.sleep(random.uniform(0.1, 0.6))
            dying = number % 2
            pair[dying].kill()
            pair[dying] = ProxyProcess(topics.brokers, users_file, tmp_path, port=at.port)
            eventually(pair[dying].ready, "the next one is ready")
    finally:
        for ledger in ledgers:
            ledger.end()
    for ledger in ledgers:
        assert len(ledger.acknowledged) > 10 * KILLS
        assert set(ledger.acknowledged) - set(topics.payloads(ledger.topic)) == set()
        assert len(set(ledger.acknowledged)) == len(ledger.acknowledged)


def test_one_of_two_copies_is_killed(stack: Stack, login: Login, topics: KafkaTopics, topic: str) -> None:
    stack.scale({"mqtt": 2}, lambda status: None)
    try:
        ledgers = [Ledger(login, f"{topic}/{number}", 1, mqtt.MQTTv311) for number in range(6)]
        try:
            time.sleep(1)
            pid = pid_of(stack, "mqtt-2")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            goals = [(ledger, len(ledger.acknowledged) + 50) for ledger in ledgers]
            eventually(lambda: all(len(ledger.acknowledged) > goal for ledger, goal in goals), "all clients go on")
        finally:
            for ledger in ledgers:
                ledger.end()
        for ledger in ledgers:
            assert set(ledger.acknowledged) <= set(topics.payloads(ledger.topic))
        eventually(lambda: state_of(stack, "mqtt-2") == "ready", "the copy is back")
    finally:
        stack.scale({"mqtt": 1}, lambda status: None)


def test_sigterm_acknowledges_what_is_in_flight(
    topics: KafkaTopics, users_file: Path, tmp_path: Path, login: Login, topic: str
) -> None:
    process = ProxyProcess(topics.brokers, users_file, tmp_path)
    eventually(process.ready, "the proxy is ready")
    at = login.at(process.port)
    with at.client(5) as client, at.client(4) as old, at.client(5) as idle:
        for each in (client, old):
            each.send(*(each.message(topic, str(number)) for number in range(500)))
        client.acknowledgement(1)  # it has read them
        old.acknowledgement(1)
        process.process.terminate()
        said = client.until_closed()
        assert said[-1] == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
        assert [ack.mid for ack in said[:-1] if isinstance(ack, Ack)] == list(range(2, len(said) + 1))
        acks = [ack for ack in old.until_closed() if isinstance(ack, Ack)]
        assert idle.until_closed() == [Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)]
    assert all(ack.kind is PacketType.PUBACK for ack in acks)
    assert len(topics.payloads(topic)) == len(said) + len(acks) + 1  # each acknowledged one, and no other
    assert process.process.wait(15) == 143
    assert "Traceback" not in process.end()
