"""Kafka is away, or passwords are guessed: nothing is acknowledged that Kafka does not have, and memory is bounded."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend_demo.mqtt.codec.encoder import encode
from backend_demo.mqtt.codec.packets import Ack, Connect, ReasonCode
from backend_demo.stack.base import Stack
from tests.support.mqtt_client import MqttClient
from tests.support.ports import listens
from tests.support.proxy import KafkaTopics, Login, ProxyProcess, holds_for, standalone
from tests.support.services import pid_of, status_of
from tests.support.wait import eventually

PAYLOAD = bytes(10_000)


@pytest.fixture(scope="module")
def alone(topics: KafkaTopics, users_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyProcess]:
    """A proxy that holds 4 MiB."""
    with standalone(topics, users_file, tmp_path_factory.mktemp("proxy"), mqtt_held_mb=4) as process:
        yield process


@contextlib.contextmanager
def suspended(stack: Stack) -> Iterator[None]:
    pid = pid_of(stack, "kafka")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def stopped(stack: Stack) -> Iterator[None]:
    stack.stop("kafka")
    try:
        yield
    finally:
        stack.start("kafka")


class Flood:
    """Publishes as fast as it is read, and never waits for an acknowledgement."""

    def __init__(self, client: MqttClient, topic: str) -> None:
        self.sent = self.acknowledged = 0
        self._client = client
        self._topic = topic
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        while not self._stop.is_set() and self.sent < 3000:
            self._client.send(self._client.message(self._topic, PAYLOAD))
            self.sent += 1

    def _receive(self) -> None:
        while not self._stop.is_set() or self.acknowledged < self.sent:
            # a time limit of the socket would be that of the other thread, too
            if self._client.unread or select.select([self._client.socket], [], [], 0.2)[0]:
                self._client.wait_for(Ack)
                self.acknowledged += 1

    def stop(self) -> None:
        """Sends no more."""
        self._stop.set()

    def settle(self) -> None:
        """Waits until all is acknowledged."""
        for thread in self._threads:
            thread.join(60)
        assert self.acknowledged == self.sent


@pytest.mark.parametrize("outage", [suspended, stopped])
def test_kafka_is_away_under_load(
    outage: object, stack: Stack, alone: ProxyProcess, login: Login, topics: KafkaTopics, topic: str
) -> None:
    at = login.at(alone.port)
    with contextlib.ExitStack() as cleanup:
        clients = [cleanup.enter_context(at.client(4, client_id=f"{topic}-{number}")) for number in range(8)]
        for client in clients:
            client.limit_s = 120
        with outage(stack):  # type: ignore[operator]
            floods = [Flood(client, f"{topic}/{number}") for number, client in enumerate(clients)]
            time.sleep(2)  # an acknowledgement that was on its way has arrived
            acknowledged, memory = [flood.acknowledged for flood in floods], alone.rss_mb()
            eventually(lambda: alone.metric('bdemo_service_ready{service="mqtt"}') == 0, "it is not ready", 20)
            since = alone.metric('bdemo_kafka_unreachable_since_seconds{service="mqtt"}')
            assert time.time() - 60 < since < time.time()
            sent = [flood.sent for flood in floods]
            holds_for(2, lambda: alone.rss_mb() < memory + 30, "its memory is flat")
            assert [flood.sent for flood in floods] == sent  # it reads no more
            assert [flood.acknowledged for flood in floods] == acknowledged == [0] * 8
            with at.client(5):
                pass  # new clients are let in
            for flood in floods:
                flood.stop()
        for flood in floods:
            flood.settle()
        assert [client.publish(topic, "21") for client in clients]
    eventually(alone.ready, "it is ready")
    written = Counter(each.key for each in topics.readings([f"{topic}/{number}" for number in range(len(floods))]))
    for number, flood in enumerate(floods):
        assert written[f"{topic}/{number}".encode()] >= flood.sent
    assert alone.rss_mb() < 250


def test_a_proxy_that_starts_while_kafka_is_away_takes_clients(
    stack: Stack, users_file: Path, login: Login, topics: KafkaTopics, topic: str, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as cleanup:
        with stopped(stack):
            process = ProxyProcess(topics.brokers, users_file, tmp_path)
            cleanup.callback(process.end)
            eventually(lambda: listens(process.port), "that it listens")
            client = cleanup.enter_context(login.at(process.port).client(4))
            client.limit_s = 60
            client.send(client.message(topic, PAYLOAD))
            assert not process.ready()
        client.wait_for(Ack)
        eventually(process.ready, "the proxy is ready")


def test_status_says_since_when_kafka_is_away(stack: Stack) -> None:
    with stopped(stack):
        eventually(lambda: status_of(stack, "mqtt").state == "waiting", "the proxy waits", 20)
        assert re.match(r"Kafka is unreachable since \d\d:\d\d:\d\d, \d+ s ago", status_of(stack, "mqtt").error or "")
    eventually(lambda: status_of(stack, "mqtt").state == "ready", "the proxy is ready")


def test_guessing_passwords_holds_nobody_up(alone: ProxyProcess, login: Login, topic: str) -> None:
    """1,000 guesses a second: most are told that the proxy is busy, and who is connected is served as before."""
    at, stop = login.at(alone.port), threading.Event()
    codes: list[int] = []

    def guess() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            guess = Connect(5, f"guess{number}", username=login.username, password=b"%d" % number)
            with contextlib.suppress(OSError), socket.create_connection((at.host, at.port), 10) as connection:
                connection.sendall(encode(guess, 5))
                connection.settimeout(0.002)
                with contextlib.suppress(TimeoutError):
                    codes.append(connection.recv(100)[3])
            time.sleep(0.001)

    with at.client(4) as client:
        guessing = threading.Thread(target=guess)
        guessing.start()
        try:
            waits = []
            deadline = time.monotonic() + 4
            while time.monotonic() < deadline:
                begin = time.monotonic()
                client.publish(topic, "21")
                waits.append(time.monotonic() - begin)
            with at.client(4, client_id="remembered"):
                pass  # whose password was right before
        finally:
            stop.set()
            guessing.join(30)
    assert ReasonCode.SERVER_BUSY in codes
    assert 0 not in codes
    assert len(waits) > 20
    assert sorted(waits)[len(waits) // 2] < 0.1
    assert max(waits) < 2


def test_guesses_fill_the_queue(alone: ProxyProcess, login: Login) -> None:
    at = login.at(alone.port)
    with contextlib.ExitStack() as cleanup:
        clients = [cleanup.enter_context(at.raw()) for _ in range(120)]
        for number, client in enumerate(clients):
            client.speak(4 + number % 2)
            client.send(Connect(client.level, f"c{number}", username=f"nobody{number}", password=b"x"))
        codes = {client.level: client.receive(60).code for client in clients[-2:]}  # type: ignore[union-attr]
    assert codes == {5: ReasonCode.SERVER_BUSY, 4: 3}
