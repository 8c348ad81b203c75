"""Connecting to Kafka: where it is, as whom, and the options and time limits of its clients.

No client takes anything from the environment of the user's shell. What the batch producer and Faust's consumer need
beside `Brokers.connection` and `faust_credentials` stands in faust_batch and in stages/runtime/worker.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from backend_demo.adapters.network import client_context

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: aiokafka's own limit for a request, seconds: a broker that restarts may take most of it.
REQUEST_TIMEOUT_S = 40.0


@dataclass(frozen=True)
class Brokers:
    """Where Kafka is, as `host:port[,host:port]`, and as whom to connect."""

    bootstrap: str
    protocol: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    """Certificates of the authorities that are trusted, PEM; None: those of the system."""
    client_cert: Path | None = None
    client_key: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> Brokers:
        """Those that the settings name."""
        return cls(
            settings.kafka_bootstrap,
            settings.kafka_security_protocol,
            settings.kafka_sasl_mechanism,
            settings.kafka_username,
            settings.kafka_password,
            settings.kafka_ca_file,
            settings.kafka_client_cert,
            settings.kafka_client_key,
        )

    def __str__(self) -> str:
        return self.bootstrap

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.protocol.endswith("SSL")

    @property
    def sasl(self) -> bool:
        """Whether a user name and a password are sent."""
        return self.protocol.startswith("SASL")

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS of connections; None: without. Raises ConfigurationInvalid."""
        if not self.tls:
            return None
        return client_context(self.ca_file, self.client_cert, self.client_key, prefix="kafka")

    def connection(self) -> dict[str, Any]:
        """The options of every client of aiokafka. Raises ConfigurationInvalid."""
        sasl = {"sasl_mechanism": self.mechanism, **self._user} if self.sasl else {}
        return {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.protocol,
            "ssl_context": self.context,
            **sasl,
        }

    @property
    def _user(self) -> dict[str, str]:
        return {"sasl_plain_username": self.username, "sasl_plain_password": self.password}


def faust_credentials(brokers: Brokers) -> Any:
    """The same for a Faust application: its setting `broker_credentials`. Raises ConfigurationInvalid."""
    from faust.auth import SASLCredentials, SSLCredentials  # slow, and for stages only

    if brokers.sasl:
        return SASLCredentials(
            username=brokers.username,
            password=brokers.password,
            mechanism=brokers.mechanism,
            ssl_context=brokers.context,
        )
    return SSLCredentials(brokers.context) if brokers.tls else None


@contextlib.asynccontextmanager
async def admin(
    brokers: Brokers, client_id: str, *, limit_s: float, request_timeout_s: float
) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client, for `limit_s` in all. Raises KafkaError, OSError (of which TimeoutError is one)."""
    client = AIOKafkaAdminClient(**_options(brokers, client_id, request_timeout_s))
    try:
        async with asyncio.timeout(limit_s):
            await client.start()
            yield client
    finally:
        await client.close()


def reader(brokers: Brokers, client_id: str, *, request_timeout_s: float = REQUEST_TIMEOUT_S) -> AIOKafkaConsumer:
    """A consumer, not yet started, that joins no group and commits nothing: its user assigns partitions and seeks.

    It begins at the oldest record where nothing else is said.
    """
    return AIOKafkaConsumer(
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **_options(brokers, client_id, request_timeout_s),
    )


def producer(brokers: Brokers, client_id: str) -> AIOKafkaProducer:
    """A producer, not yet started, of one record at a time, each sent at once and acknowledged by all replicas."""
    return AIOKafkaProducer(acks="all", linger_ms=0, **_options(brokers, client_id, REQUEST_TIMEOUT_S))


def _options(brokers: Brokers, client_id: str, request_timeout_s: float) -> dict[str, Any]:
    # a command that sets up no log would print aiokafka's lines about lost connections, 80 a second in an outage
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    return {
        **brokers.connection(),
        "client_id": client_id,
        "request_timeout_ms": round(request_timeout_s * 1000),
    }
