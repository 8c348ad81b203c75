"""The settings of Kafka: where it is, and how clients prove who they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from backend_demo import settings_values as values
from backend_demo.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from collections.abc import Callable


class KafkaSettings(BaseSettings):
    """Part of `Settings`."""

    kafka_bootstrap: values.ServerAddresses = Field(
        "127.0.0.1:9092", description="Kafka bootstrap servers, host:port[,host:port]."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to Kafka: with TLS (`SSL`), with a user (`SASL_PLAINTEXT`), with both."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How Kafka checks the user's password; `PLAIN` sends it to the broker."
    )
    kafka_username: str = Field("", description="Kafka user name.")
    kafka_password: str = Field("", repr=False, description="Kafka password.")
    kafka_ca_file: Path | None = Field(
        None, description="Certificates that prove Kafka's, PEM; None: those that the system trusts."
    )
    kafka_client_cert: Path | None = Field(
        None, description="The client's certificate with its chain, PEM, for a Kafka that asks for one."
    )
    kafka_client_key: Path | None = Field(None, description="The private key of the client's certificate, PEM.")


#: Settings of the class above that only a Kafka of the user's own needs.
OF_OTHER_SERVERS = frozenset(KafkaSettings.model_fields) - {"kafka_bootstrap"}


def check(settings: KafkaSettings, source_of: Callable[[str], str]) -> None:
    """Raises ConfigurationInvalid when settings contradict each other. `source_of`: where a setting comes from."""
    protocol = settings.kafka_security_protocol
    sasl, tls = protocol.startswith("SASL"), protocol.endswith("SSL")
    for name, used, needed in (
        ("kafka_username", sasl, "SASL_PLAINTEXT or SASL_SSL"),
        ("kafka_password", sasl, "SASL_PLAINTEXT or SASL_SSL"),
        ("kafka_ca_file", tls, "SSL or SASL_SSL"),
        ("kafka_client_cert", tls, "SSL or SASL_SSL"),
        ("kafka_client_key", tls, "SSL or SASL_SSL"),
    ):
        given = bool(getattr(settings, name))
        if given and not used:
            raise ConfigurationInvalid(
                f"{source_of(name)}: kafka_security_protocol {protocol} does not use it",
                hint=f"set kafka_security_protocol to {needed}, or remove {name}",
            )
        if sasl and not given and name in ("kafka_username", "kafka_password"):
            raise ConfigurationInvalid(
                f"{source_of('kafka_security_protocol')}: {protocol} needs {name}, which is not set",
                hint=f"set BDEMO_{name.upper()}",
            )
    if bool(settings.kafka_client_cert) != bool(settings.kafka_client_key):
        there, missing = "kafka_client_cert", "kafka_client_key"
        if settings.kafka_client_key:
            there, missing = missing, there
        raise ConfigurationInvalid(
            f"{source_of(there)}: {missing} is not set", hint=f"set BDEMO_{missing.upper()}, too; both may be one file"
        )
