"""Every setting, once: default, bounds and meaning.

Sources, strongest first: flag, BDEMO_ environment variable, /run/secrets, bdemo.toml, .env, default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from backend_demo import settings_kafka
from backend_demo import settings_values as values
from backend_demo.domain.mapping import MappingInvalid
from backend_demo.errors import ConfigurationInvalid, suggest
from backend_demo.places import default_state_dir
from backend_demo.settings_dsn import understood
from backend_demo.settings_kafka import KafkaSettings
from backend_demo.settings_mapping import MappingSetting
from backend_demo.settings_mqtt import MqttSettings
from backend_demo.settings_network import NetworkSettings
from backend_demo.settings_poll import PollSetting
from backend_demo.settings_retention import RetentionSettings
from backend_demo.settings_sources import (
    ENV_PREFIX,
    LISTS_OF_TABLES,
    SECRETS,
    ConfigFileSource,
    OriginalEnvSource,
    SecretFilesSource,
    file_variable,
    source_of,
)


def _port(default: int, description: str) -> Any:
    return Field(default, ge=1, le=65535, description=description)


class Settings(KafkaSettings, MqttSettings, NetworkSettings, RetentionSettings):
    """All settings. Built at the entry points and passed down; nothing else reads the environment."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    # -- the stack
    state_dir: Path = Field(
        default_factory=default_state_dir,
        description="Directory with all state of one stack: data, logs, secrets, addresses.",
    )
    stack: Literal["embedded", "compose"] = Field(
        "embedded", description="Run the servers as child processes or as containers."
    )
    profiles: tuple[Literal["cluster", "mosquitto", "simulator", "tools"], ...] = Field(
        (),
        description="Additions to the compose stack: three Kafka brokers; mosquitto as the MQTT broker; simulated "
        "sensors; pgAdmin and a Kafka UI.",
    )
    port_offset: int = Field(0, ge=0, le=50000, description="Added to every port of the stack.")
    up_timeout_s: float = Field(120, gt=0, description="Seconds within which a started stack must be ready.")
    kafka_heap_mb: int = Field(512, ge=128, description="Maximum heap of Kafka's JVM, MiB.")
    kafka_jvm_options: values.Words = Field(
        (),
        description="More options for Kafka's JVM, with spaces between or as a JSON list. `-XX:TieredStopAtLevel=1` "
        "halves the CPU of a start, for stacks that live for minutes; it is slower under load.",
    )

    # -- where the servers are (set by the stack, or by hand for services that run alone)
    topic_replication: int = Field(
        1, ge=1, le=9, description="Replicas of each Kafka topic that `bdemo migrate` creates, each on its own broker."
    )
    kafka_port: int = _port(9092, "Port of the stack's Kafka.")
    kafka_controller_port: int = _port(9093, "Port of the stack's Kafka controller.")
    postgres_dsn: str = Field(
        "postgresql://bdemo@127.0.0.1:5432/temperature", repr=False, description="PostgreSQL connection URL."
    )
    postgres_reader_dsn: str = Field(
        "",
        repr=False,
        description="PostgreSQL connection URL of a read-only role, for `bdemo query sql`; empty: the stack's.",
    )
    postgres_port: int = _port(5432, "Port of the stack's PostgreSQL.")

    # -- gateway and metrics
    gateway_host: str = Field("127.0.0.1", description="Address on which the gateway listens.")
    gateway_port: int = _port(8007, "Port of the REST gateway.")
    gateway_url: str = Field("http://127.0.0.1:8007", description="URL at which clients reach the gateway.")
    gateway_token: str = Field("", repr=False, description="Token that clients send to the gateway; empty: none.")
    gateway_tokens: values.Tokens = Field(
        (),
        repr=False,
        description="Tokens that the gateway accepts, at least 32 letters and digits each, separated by spaces or line "
        "breaks or as a JSON list; none: no token is needed, and the gateway listens on a loopback address only.",
    )
    gateway_tls_cert: Path | None = Field(None, description="The gateway's certificate with its chain, PEM.")
    gateway_tls_key: Path | None = Field(None, description="The private key of the gateway's certificate, PEM.")
    gateway_plaintext: bool = Field(
        False, description="Let the gateway listen beyond loopback without TLS: tokens and answers travel in the clear."
    )
    gateway_published_on_loopback: bool = Field(
        False,
        description="True in a container whose port is published on a loopback address only: the gateway then counts "
        "as local. Publishing the port elsewhere would open the gateway to everyone.",
    )
    gateway_allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Host names that requests may use, besides localhost and the address on which the gateway listens.",
    )
    gateway_cors_origins: values.Origins = Field(
        (),
        description="Origins, such as `https://example.org:8443`, whose pages may read from the gateway; none: only "
        "the gateway's own origin.",
    )
    ingest_max_bytes: int = Field(
        16_777_216,
        ge=1024,
        le=1_073_741_824,
        description="Largest body of `POST /v1/readings`, decompressed, bytes.",
    )
    metrics_targets: Path | None = Field(
        None,
        description="File with the metrics addresses of all copies, in Prometheus's file_sd format; the stack keeps it "
        "current. None: one copy of each service, on `stats_host`.",
    )
    stream_clients: int = Field(
        500, ge=1, le=900, description="Maximum number of open live streams, server-sent events and WebSocket together."
    )
    stats_host: str = Field("127.0.0.1", description="Address on which every service serves /metrics.")
    bridge_stats_port: int = _port(7001, "Port of the bridge's metrics.")
    collection_stats_port: int = _port(7002, "Port of the collection's metrics.")
    processing_stats_port: int = _port(7003, "Port of the processing's metrics.")
    aggregation_stats_port: int = _port(7004, "Port of the aggregation's metrics.")
    loader_stats_port: int = _port(7005, "Port of the loader's metrics.")
    gateway_stats_port: int = _port(7006, "Port of the gateway's metrics.")
    poll_stats_port: int = _port(7008, "Port of the metrics of `poll`.")
    prometheus_port: int = _port(9090, "Port of the stack's Prometheus.")

    # -- the pipeline
    mapping: tuple[MappingSetting, ...] = Field(
        (),
        description="How devices with topics and payloads of their own become readings: tables `[[mapping]]` in "
        "`bdemo.toml` with the fields of [Connect devices](../how-to/connect-devices.md#mappings).",
    )
    poll: tuple[PollSetting, ...] = Field(
        (),
        repr=False,
        description="What is asked for readings by HTTP: tables `[[poll]]` in `bdemo.toml` with the fields of "
        "[Poll devices](../how-to/poll.md). None: the service `poll` does not run.",
    )
    value_min: float = Field(-100.0, allow_inf_nan=False, description="Lowest plausible value, degrees Celsius.")
    value_max: float = Field(200.0, allow_inf_nan=False, description="Highest plausible value, degrees Celsius.")
    future_tolerance_s: float = Field(
        60.0, ge=0, le=86_400, description="How far in the future a reading's time may be, seconds."
    )
    time_min: values.Moment = Field(
        946_684_800.0,
        ge=0,
        le=253_402_300_799,  # the end of the year 9999
        allow_inf_nan=False,
        description="Earliest time that a reading may have: epoch seconds, or a date or time such as `2000-01-01` or "
        "`2000-01-01T00:00:00Z`.",
    )
    aggregation_window: int = Field(10, ge=1, le=1000, description="Number of readings in an average.")
    aggregation_lateness: int = Field(
        16,
        ge=0,
        le=10_000,
        description="Readings kept beyond the window, so that a late reading can still be averaged from state.",
    )
    aggregation_sensors: int = Field(
        100_000,
        ge=80,
        description="Number of sensors whose last readings an aggregation keeps in memory, about 1 kB each; the "
        "sensors idle for longest are evicted, and the database computes their averages when they return.",
    )
    sensor_silent_s: float = Field(
        60,
        gt=0,
        description="Seconds without a reading after which a sensor counts as silent; after an hour it is forgotten.",
    )
    consumer_group_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]*$", description="Prefix of every Kafka consumer group id."
    )
    instance: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Unique and stable name of this copy of a service: a static member of its consumer group.",
    )
    watchdog_s: float = Field(
        30,
        gt=0,
        description="Seconds without progress, with work to do and Kafka up, after which a service exits.",
    )

    # -- logs, traces and tests
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    log_format: Literal["auto", "json", "short"] = Field(
        "auto",
        description="`json`: one line of JSON per event; `short`: short lines; `auto`: short on a terminal, else JSON.",
    )
    tracing_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+.*)?$",
        description="URL of an OpenTelemetry collector that accepts OTLP over HTTP, such as `http://127.0.0.1:4318`; "
        "empty: no spans are recorded.",
    )
    failpoint: str = Field("", description="Tests only: name of the point at which a service kills itself.")

    @field_validator("state_dir", mode="before")
    @classmethod
    def _state_dir(cls, value: Any) -> Any:
        if value == "":
            raise ValueError("an empty path would mean the working directory")
        return value

    @field_validator("postgres_dsn", "postgres_reader_dsn")
    @classmethod
    def _dsn(cls, value: str, info: ValidationInfo) -> str:
        if (value or info.field_name == "postgres_dsn") and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("a PostgreSQL URL begins with postgresql://")
        understood(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        files = (SecretFilesSource(settings_cls), ConfigFileSource(settings_cls), OriginalEnvSource(settings_cls))
        return init_settings, env_settings, *files

    def earliest(self, now: float) -> float:
        """The earliest time that a reading may have now, epoch seconds: older ones are not kept."""
        return max(self.time_min, now - self.retention) if self.retention else self.time_min

    def stats_port(self, service: str) -> int:
        """Returns the metrics port of one of our services."""
        return int(getattr(self, f"{service}_stats_port"))


def load(**flags: Any) -> Settings:
    """Builds the settings. `flags` that are not None win over all other sources. Raises ConfigurationInvalid."""
    known = [*(ENV_PREFIX + field.upper() for field in Settings.model_fields), *map(file_variable, SECRETS)]
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and ENV_PREFIX + name[len(ENV_PREFIX) :].upper() not in known:
            raise ConfigurationInvalid(f"unknown setting {name} in the environment", hint=suggest(name, known))
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})
        settings_kafka.check(settings, lambda field: source_of(field, flags))
        return settings
    except ValidationError as problem:
        first = problem.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "settings"
        raise ConfigurationInvalid(
            _where(first, field, flags) + _told(first["msg"]),
            hint="fix it there, or remove it to use the default",
        ) from problem
    except Exception as problem:
        # pydantic-settings raises its own SettingsError for what a source cannot parse, such as a list that is not JSON
        if isinstance(problem, ConfigurationInvalid):
            raise
        named = re.search(r'field "(\w+)"', str(problem))
        where = source_of(named[1], flags) if named else "settings"
        raise ConfigurationInvalid(f"{where}: not a JSON list", hint='write it like ["first", "second"]') from problem


def accepted_filters(settings: Settings) -> tuple[str, ...]:
    """The MQTT topic filters whose messages are readings: `mqtt_filters`, and those of the mappings."""
    return tuple(dict.fromkeys((*settings.mqtt_filters, *(each.compiled().topic.filter for each in settings.mapping))))


def _where(problem: ErrorDetails, field: str, flags: Mapping[str, Any]) -> str:
    """The source of a wrong value; in a list of tables, also which of them, and its line."""
    place = problem["loc"][1:]
    if not place or not isinstance(place[0], int) or field not in LISTS_OF_TABLES:
        return f"{source_of(field, flags)}: "
    wrong = problem.get("ctx", {}).get("error")
    key = wrong.field if isinstance(wrong, MappingInvalid) else str(place[1]) if len(place) > 1 else ""
    told = f"{key}: " if len(place) > 1 else ""
    return f"{source_of(field, flags, table=place[0], key=key)}: {field} {place[0] + 1}: {told}"


def _told(message: str) -> str:
    """Pydantic's message as the end of ours: what a validator of ours says stays as it is."""
    ours = message.removeprefix("Value error, ")
    return ours if ours != message else message[:1].lower() + message[1:]
