"""A renewed certificate reaches the running proxy and gateway, without a restart and without a lost connection."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend_demo.mqtt.passwords import RANDOM_COST, StoredPassword
from backend_demo.mqtt.users_file import Rights, UserEntry, serialise
from backend_demo.stack.state import certificates
from backend_demo.stack.state.certificates import SERVER_DAYS, CertificateFiles
from tests.support.mqtt_client import MqttClient
from tests.support.ports import free_port, listens
from tests.support.wait import eventually

HOST = "127.0.0.1"
TOKEN = "x" * 32


def serial(files: CertificateFiles, port: int) -> int:
    """The serial number of the certificate that a new connection gets, whoever has signed it and however old."""
    trusting = ssl.create_default_context(cafile=str(files.authority))
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with socket.create_connection((HOST, port), 5) as plain, trusting.wrap_socket(plain, server_hostname=HOST) as it:
        found = it.getpeercert()
        assert found is not None
        return int(str(found["serialNumber"]), 16)


@pytest.fixture
def old(tmp_path: Path) -> CertificateFiles:
    """Certificates of a stack that has run for two thirds of their life: still good, and due."""
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=SERVER_DAYS * 2 // 3, minutes=1)
    return certificates.make(tmp_path / "tls", HOST, now=past)


@contextlib.contextmanager
def running(service: str, port: int, tmp_path: Path, files: CertificateFiles, **settings: object) -> Iterator[None]:
    """A service of ours whose Kafka and PostgreSQL are away: it takes connections all the same."""
    users = tmp_path / "users.json"
    users.write_text(serialise({"sensor": UserEntry(StoredPassword.of(b"right", RANDOM_COST), Rights(("#",)))}))
    users.chmod(0o600)
    values = {
        "state_dir": tmp_path / "state",
        "kafka_bootstrap": f"{HOST}:{free_port()}",
        "postgres_dsn": f"postgresql://bdemo@{HOST}:{free_port()}/temperature",
        "mqtt_users_file": users,
        "listen": HOST,
        "tls_cert": files.certificate,
        "tls_key": files.key,
        "network_tokens": TOKEN,
        f"{service}_port": free_port(),
        f"{service}_tls_port": port,
        f"{service}_stats_port": free_port(),
        **settings,
    }
    environment = {**os.environ, **{f"BDEMO_{name.upper()}": str(value) for name, value in values.items()}}
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend_demo", "run", service, "--standalone"], env=environment, stderr=stderr
        )
    try:
        eventually(lambda: listens(port), f"{service} listens: {log.read_text()}")
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def renewing(files: CertificateFiles) -> Iterator[None]:
    """The program that renews certificates."""
    process = subprocess.Popen(
        [sys.executable, "-m", "backend_demo.stack.embedded.renewal", str(files.certificate.parent), HOST, "0.2"]
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_the_proxy_takes_a_renewed_certificate(tmp_path: Path, old: CertificateFiles) -> None:
    port = free_port()
    with running("mqtt", port, tmp_path, old):
        before = serial(old, port)
        with MqttClient(HOST, port, tls=ssl.create_default_context(cafile=str(old.authority))) as client:
            assert client.connect(username="sensor", password="right").code == 0
            with renewing(old):
                eventually(lambda: serial(old, port) != before, "the proxy serves the new certificate", 20)
            client.ping()
            after = serial(old, port)
            assert certificates.make(old.certificate.parent, HOST) == old
            assert serial(old, port) == after


def test_the_gateway_takes_a_renewed_certificate(tmp_path: Path, old: CertificateFiles) -> None:
    port = free_port()
    with running("gateway", port, tmp_path, old):
        before = serial(old, port)
        trusting = ssl.create_default_context(cafile=str(old.authority))
        client = http.client.HTTPSConnection(HOST, port, timeout=10, context=trusting)

        def health() -> object:
            client.request("GET", "/healthz", headers={"Authorization": f"Bearer {TOKEN}"})
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())

        with contextlib.closing(client):
            first = health()
            opened = client.sock
            with renewing(old):
                eventually(lambda: serial(old, port) != before, "the gateway serves the new certificate", 20)
            assert health() == first
            assert client.sock is opened, "the same connection"
