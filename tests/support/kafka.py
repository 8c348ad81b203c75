"""The Kafka of a running stack, for tests: as whom to connect, in this process and in others."""

from __future__ import annotations

from backend_demo.adapters.kafka import Brokers
from backend_demo.settings import Settings


def brokers(settings: Settings) -> Brokers:
    """The stack's Kafka, as somebody with all rights."""
    return Brokers.of(settings)


def environment(found: Brokers) -> dict[str, str]:
    """The variables with which a process of ours connects there."""
    values = {
        "bootstrap": found.bootstrap,
        "security_protocol": found.protocol,
        "sasl_mechanism": found.mechanism,
        "username": found.username,
        "password": found.password,
        "ca_file": found.ca_file,
        "client_cert": found.client_cert,
        "client_key": found.client_key,
    }
    return {f"BDEMO_KAFKA_{name.upper()}": str(value) for name, value in values.items() if value}
