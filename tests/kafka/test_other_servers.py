"""A Kafka that asks for TLS, for a user or for both: every client of ours connects, and says what is wrong if not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from backend_demo.adapters import kafka, kafka_refusal
from backend_demo.adapters.kafka import Brokers
from backend_demo.domain.topics import SRC_DATA, TOPICS
from backend_demo.errors import ServiceFailed
from backend_demo.faust_batch.producer import BatchProducer
from backend_demo.operations.kafka_log import partitions_of
from backend_demo.operations.tail.topic import Newest, tail
from backend_demo.stack.services.kafka import create_topics
from tests.kafka.conftest import Others
from tests.support.kafka import environment
from tests.support.ports import free_port
from tests.support.proxy import metric_at
from tests.support.wait import eventually

#: Within which a refusal must be said, seconds: a tenth of a second, unless the machine is busy.
SOON_S = 9.0

WAYS = [
    ("OPEN", "SCRAM-SHA-512"),
    ("TLS", "SCRAM-SHA-512"),
    ("MUTUAL", "SCRAM-SHA-512"),
    ("USER", "PLAIN"),
    ("USER", "SCRAM-SHA-256"),
    ("USER", "SCRAM-SHA-512"),
    ("BOTH", "SCRAM-SHA-512"),
]


@pytest.mark.parametrize(("listener", "mechanism"), WAYS)
def test_every_client_connects(others: Others, listener: str, mechanism: str) -> None:
    brokers = others.at(listener, mechanism=mechanism)
    create_topics(brokers)

    async def round_trip() -> bytes | None:
        batches = BatchProducer(**brokers.connection(), client_id="test")
        single: AIOKafkaProducer = kafka.producer(brokers, "test")
        await single.start()
        await batches.send({(SRC_DATA, 0): [(b"1", b"whole batch")]})
        await single.send_and_wait(SRC_DATA, f"{listener} {mechanism}".encode(), b"1", partition=0)
        await single.stop()
        await batches.stop()
        async for found in tail(brokers, [SRC_DATA], Newest(1), follow=False, notify=lambda text: None):
            return found[-1].value
        return None

    assert set(TOPICS) <= set(asyncio.run(partitions_of(brokers)))
    assert asyncio.run(round_trip()) == f"{listener} {mechanism}".encode()
    asyncio.run(kafka_refusal.until_taken(brokers))


@pytest.mark.parametrize("listener", ["MUTUAL", "BOTH"])
def test_faust_connects(others: Others, listener: str, tmp_path: Path) -> None:
    brokers = others.at(listener)
    create_topics(brokers)
    port = free_port()
    process = _run(brokers, tmp_path, port)
    try:
        ready = 'bdemo_service_ready{service="processing"}'
        eventually(lambda: process.poll() is None and metric_at(port, ready) == 1, "processing", 180)
    finally:
        process.kill()
        process.communicate()


def test_a_service_that_is_refused_ends_with_one_line(others: Others, tmp_path: Path) -> None:
    process = _run(others.at("BOTH", password="guessed"), tmp_path, free_port())
    _, said = process.communicate(timeout=180)
    assert process.returncode == ServiceFailed.exit_code
    assert said.count(b"refuses user") == 1
    assert b"guessed" not in said


def _run(brokers: Brokers, folder: Path, stats_port: int) -> subprocess.Popen[bytes]:
    own = {"BDEMO_STATE_DIR": str(folder), "BDEMO_PROCESSING_STATS_PORT": str(stats_port)}
    return subprocess.Popen(
        [sys.executable, "-m", "backend_demo", "run", "processing", "--standalone"],
        env={**os.environ, **own, **environment(brokers)},
        stderr=subprocess.PIPE,
    )


def _wrong(others: Others) -> dict[str, Brokers]:
    """What each refusal says, and who gets it."""
    nothing: dict[str, object] = {"username": "", "password": ""}
    return {
        "refuses user 'me', or the password": others.at("USER", password="guessed"),
        "refuses user 'nobody', or the password": others.at("BOTH", username="nobody"),
        "does not have PLAIN": others.at("BOTH", mechanism="PLAIN"),
        "has a certificate that cannot be used: unable to get local issuer certificate": others.at("TLS", ca_file=None),
        # another way to write 127.0.0.1, as a name
        "has a certificate that cannot be used: Hostname mismatch": others.at("BOTH", host="127.1"),
        "asks for a client certificate": others.at("MUTUAL", client_cert=None, client_key=None),
        "asks for TLS": others.at("TLS", protocol="PLAINTEXT"),
        "asks for TLS ": others.at("BOTH", protocol="SASL_PLAINTEXT"),
        "does not use TLS": others.at("OPEN", protocol="SSL"),
        "does not use TLS ": others.at("USER", protocol="SASL_SSL"),
        "asks for a user": others.at("USER", protocol="PLAINTEXT", **nothing),
        "asks for a user ": others.at("BOTH", protocol="SSL", **nothing),
        "asks for no user": others.at("OPEN", protocol="SASL_PLAINTEXT", username="me", password="x"),
        "asks for no user ": others.at("TLS", protocol="SASL_SSL", username="me", password="x"),
    }


def test_each_refusal_has_its_reason_soon(others: Others) -> None:
    wrong = _wrong(others)
    told = {}
    for said, brokers in wrong.items():
        begin = time.monotonic()
        with pytest.raises(ServiceFailed) as raised:
            asyncio.run(partitions_of(brokers))
        told[said] = raised.value.message
        assert raised.value.hint.startswith(("set BDEMO_KAFKA", "check BDEMO_KAFKA", "choose another", "use a name"))
        assert time.monotonic() - begin < SOON_S, said
    assert {said: said.strip() in message for said, message in told.items()} == dict.fromkeys(wrong, True), told


def test_a_command_says_it_in_one_line(others: Others, tmp_path: Path) -> None:
    brokers = others.at("TLS", protocol="PLAINTEXT", ca_file=None)
    done = subprocess.run(
        [sys.executable, "-m", "backend_demo", "tail", "topic", "--bootstrap", brokers.bootstrap, "--exit"],
        env={**os.environ, "BDEMO_STATE_DIR": str(tmp_path), **environment(brokers)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == ServiceFailed.exit_code
    assert done.stderr.splitlines() == [
        f"error: Kafka at {brokers.bootstrap} asks for TLS",
        "hint: set BDEMO_KAFKA_SECURITY_PROTOCOL to SSL",
    ]


def test_a_kafka_that_is_away_is_waited_for() -> None:
    away = Brokers(f"127.0.0.1:{free_port()}", "SASL_SSL", username="me", password="x")

    async def wait() -> None:
        async with asyncio.timeout(3):
            await kafka_refusal.until_taken(away)

    with pytest.raises(TimeoutError):
        asyncio.run(wait())
