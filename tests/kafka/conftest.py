"""A Kafka of somebody else: one broker with a listener for each way to connect."""

from __future__ import annotations

import datetime
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend_demo.adapters.kafka import Brokers
from backend_demo.settings import Settings
from backend_demo.stack.services import kafka, kafka_jars
from backend_demo.stack.services.kafka_users import BOOTSTRAP, random_id
from backend_demo.stack.state import certificates
from backend_demo.stack.state.directory import StateDirectory
from tests.support.ports import free_port, listens
from tests.support.wait import eventually

USER, PASSWORD = "me", "correct-horse.9"

_PROTOCOLS = {"OPEN": "PLAINTEXT", "TLS": "SSL", "MUTUAL": "SSL", "USER": "SASL_PLAINTEXT", "BOTH": "SASL_SSL"}


@dataclass(frozen=True)
class Others:
    """Where each listener is, and what a client needs there."""

    ports: dict[str, int]
    authority: Path
    client: Path
    """A client's certificate with its key."""
    beginning: Path
    """What Kafka's own tool has given the cluster to begin with."""

    def at(self, listener: str, *, host: str = "localhost", **changes: object) -> Brokers:
        """As a client connects there that does everything right, but for the changes."""
        protocol = _PROTOCOLS[listener]
        values: dict[str, object] = {"bootstrap": f"{host}:{self.ports[listener]}", "protocol": protocol}
        if protocol.endswith("SSL"):
            values["ca_file"] = self.authority
        if protocol.startswith("SASL"):
            values |= {"username": USER, "password": PASSWORD}
        if listener == "MUTUAL":
            values |= {"client_cert": self.client, "client_key": self.client}
        return Brokers(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def others() -> Iterator[Others]:
    with tempfile.TemporaryDirectory(prefix="bdemo-") as name:
        folder = Path(name)
        # for localhost and 127.0.0.1, too
        tls = certificates.make(folder / "tls", "kafka.example")
        client = _client_certificate(folder / "client.pem")
        state = StateDirectory(folder / "state")
        state.create(kafka.users())
        found = Others({each: free_port() for each in _PROTOCOLS}, tls.authority, client, folder / BOOTSTRAP)
        settings = Settings(
            state_dir=state.path, kafka_port=free_port(), kafka_controller_port=free_port(), kafka_heap_mb=256
        )
        program = kafka.prepare(settings, state)
        properties = state.path / "kafka" / "server.properties"
        with properties.open("a") as more:
            more.write(_listeners(found.ports, settings.kafka_controller_port, tls, client))
        found.beginning.write_bytes(_format_again(state.path, properties))
        with (folder / "kafka.log").open("w") as log:
            process = subprocess.Popen(program.command, cwd=state.path, stdout=log, stderr=log)
            try:
                eventually(lambda: listens(found.ports["OPEN"]), "Kafka", 60)
                yield found
            finally:
                process.kill()
                process.wait()


def _listeners(ports: dict[str, int], controller: int, tls: certificates.CertificateFiles, client: Path) -> str:
    """Lines that override those of the stack's Kafka."""
    store, trusted = tls.certificate.parent / "store.pem", tls.certificate.parent / "trusted.pem"
    store.write_text(tls.key.read_text() + tls.certificate.read_text())
    trusted.write_text(client.read_text()[client.read_text().index("-----BEGIN CERTIFICATE") :])
    addresses = {name: f"{name}://127.0.0.1:{port}" for name, port in ports.items()}
    named = {name: f"{name}://localhost:{port}" for name, port in ports.items()}
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    values = {
        "listeners": ",".join([*addresses.values(), f"CONTROLLER://127.0.0.1:{controller}"]),
        "advertised.listeners": ",".join(named.values()),
        "listener.security.protocol.map": ",".join(
            [*(f"{name}:{protocol}" for name, protocol in _PROTOCOLS.items()), "CONTROLLER:PLAINTEXT"]
        ),
        "inter.broker.listener.name": "OPEN",
        "authorizer.class.name": "",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": store,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": trusted,
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.user.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.user.plain.sasl.jaas.config": f'{plain} user_{USER}="{PASSWORD}";',
        "listener.name.both.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        **{
            f"listener.name.{name}.scram-sha-{bits}.sasl.jaas.config": scram
            for name, bits in (("user", 256), ("user", 512), ("both", 512))
        },
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _format_again(folder: Path, properties: Path) -> bytes:
    """As Kafka's tool does it, which also makes users; what the cluster begins with."""
    shutil.rmtree(folder / "kafka" / "data")
    users = [f"SCRAM-SHA-{bits}=[name={USER},password={PASSWORD}]" for bits in (256, 512)]
    done = subprocess.run(
        [
            *(kafka_jars.java(), "-cp", kafka_jars.class_path(kafka_jars.home()), "kafka.tools.StorageTool", "format"),
            *("--cluster-id", random_id(), "--config", str(properties)),
            *(word for user in users for word in ("--add-scram", user)),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return (folder / "kafka" / "data" / BOOTSTRAP).read_bytes()


def _client_certificate(file: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a client")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(encoding)
    )
    return file
