"""Every setting, once: default, bounds, meaning.

Flag > BDEMO_ environment > /run/secrets > bdemo.toml > .env > default.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from backend_demo.errors import ConfigurationInvalid, suggest
from backend_demo.places import CONFIG_FILE, default_state_dir, find_upward

ENV_PREFIX = "BDEMO_"

#: Where a container finds its secrets, one a file: `bdemo_postgres_dsn`, `bdemo_mqtt_password`.
SECRETS_DIR = Path("/run/secrets")
SECRETS = ("postgres_dsn", "postgres_reader_dsn", "mqtt_password", "gateway_tokens", "gateway_token")

#: What a header and a WebSocket's subprotocol can hold as it is; 32 characters of hexadecimal digits are 128 bits.
_TOKEN = re.compile(r"[A-Za-z0-9._~+-]{32,256}", re.ASCII)

#: An origin as a browser writes it: no path, no slash at the end.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?", re.ASCII)


def _port(default: int, description: str) -> Any:
    return Field(default, ge=1, le=65535, description=description)


class Settings(BaseSettings):
    """What every part is told. Built at the entry points and passed down; nothing else reads the environment."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

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
        description="Additions to the compose stack: three Kafka brokers; mosquitto as MQTT broker; sensors that "
        "publish; pgAdmin and a Kafka UI.",
    )
    port_offset: int = Field(0, ge=0, le=50000, description="Added to every port of the stack.")
    up_timeout_s: float = Field(120, gt=0, description="Seconds in which a started stack must be ready.")
    kafka_heap_mb: int = Field(512, ge=128, description="Heap of the embedded Kafka, MiB.")

    # -- where the servers are (set by the stack, or by hand for services that run alone)
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, host:port[,host:port].")
    topic_replication: int = Field(
        1, ge=1, le=9, description="Copies of each Kafka topic that `bdemo migrate` makes, each on a broker of its own."
    )
    kafka_port: int = _port(9092, "Port of the stack's Kafka.")
    kafka_controller_port: int = _port(9093, "Port of the stack's Kafka controller.")
    postgres_dsn: str = Field(
        "postgresql://bdemo@127.0.0.1:5432/temperature", repr=False, description="PostgreSQL connection URL."
    )
    postgres_reader_dsn: str = Field(
        "",
        repr=False,
        description="PostgreSQL connection URL of a role that only reads, for `bdemo query sql`; empty: the stack's.",
    )
    postgres_port: int = _port(5432, "Port of the stack's PostgreSQL.")
    mqtt_host: str = Field("127.0.0.1", description="Host of the MQTT broker.")
    mqtt_port: int = _port(1883, "Port of the MQTT broker.")
    mqtt_username: str = Field("", description="MQTT user name; empty: connect without one.")
    mqtt_password: str = Field("", repr=False, description="MQTT password.")
    nats_port: int = _port(4222, "Client port of NATS, the stack's MQTT broker.")

    # -- gateway and metrics
    gateway_host: str = Field("127.0.0.1", description="Address on which the gateway listens.")
    gateway_port: int = _port(8007, "Port of the REST gateway.")
    gateway_url: str = Field("http://127.0.0.1:8007", description="Where clients reach the gateway.")
    gateway_token: str = Field("", repr=False, description="The token that clients show to the gateway; empty: none.")
    gateway_tokens: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        repr=False,
        description="Tokens that the gateway takes, of 32 letters and digits or more, with spaces or lines between "
        "them or as a JSON list; none: it asks for no token, and listens on a loopback address only.",
    )
    gateway_tls_cert: Path | None = Field(None, description="The gateway's certificate with its chain, PEM.")
    gateway_tls_key: Path | None = Field(None, description="The private key of the gateway's certificate, PEM.")
    gateway_plaintext: bool = Field(
        False, description="Let the gateway listen beyond loopback without TLS: tokens and answers travel in the clear."
    )
    gateway_published_on_loopback: bool = Field(
        False,
        description="The gateway's address is in a container whose port is published on a loopback address only, so "
        "it is as good as one. Whoever publishes it elsewhere gives it to everybody.",
    )
    gateway_allowed_hosts: tuple[str, ...] = Field(
        (), description="Names by which the gateway is called, besides localhost and the address on which it listens."
    )
    gateway_cors_origins: tuple[str, ...] = Field(
        (),
        description="Origins such as `https://example.org:8443` whose pages may read from the gateway; none: only the "
        "gateway's own.",
    )
    metrics_targets: Path | None = Field(
        None,
        description="File that tells the gateway where every copy's metrics are, in Prometheus's form and kept by the "
        "stack; none: those of a single copy each, on `stats_host`.",
    )
    stream_clients: int = Field(
        500, ge=1, le=900, description="Live streams at a time, as server-sent events or by WebSocket."
    )
    stats_host: str = Field("127.0.0.1", description="Address on which every service serves /metrics.")
    bridge_stats_port: int = _port(7001, "Port of the bridge's metrics.")
    collection_stats_port: int = _port(7002, "Port of the collection's metrics.")
    processing_stats_port: int = _port(7003, "Port of the processing's metrics.")
    aggregation_stats_port: int = _port(7004, "Port of the aggregation's metrics.")
    loader_stats_port: int = _port(7005, "Port of the loader's metrics.")
    gateway_stats_port: int = _port(7006, "Port of the gateway's metrics.")
    prometheus_port: int = _port(9090, "Port of the stack's Prometheus.")

    # -- the pipeline
    mqtt_filters: tuple[str, ...] = Field(
        ("sensors/#", "/#"), min_length=1, description="MQTT topic filters that the bridge subscribes to."
    )
    max_payload_bytes: int = Field(16_384, ge=64, le=65_536, description="Largest MQTT payload taken, bytes.")
    bridge_in_flight: int = Field(1000, ge=1, le=60_000, description="MQTT messages held until Kafka acknowledges.")
    value_min: float = Field(-100.0, allow_inf_nan=False, description="Lowest plausible value, degrees Celsius.")
    value_max: float = Field(200.0, allow_inf_nan=False, description="Highest plausible value, degrees Celsius.")
    future_tolerance_s: float = Field(
        60.0, ge=0, le=86_400, description="How far a reading's time may lie ahead of now, seconds."
    )
    aggregation_window: int = Field(10, ge=1, le=1000, description="Readings in an average.")
    aggregation_lateness: int = Field(
        16,
        ge=0,
        le=10_000,
        description="Readings beyond the window that a late one may come behind and still be averaged from state.",
    )
    aggregation_sensors: int = Field(
        100_000,
        ge=80,
        description="Sensors whose last readings an aggregation keeps in memory, about 1 kB each; those idle for "
        "longest are forgotten, and averaged by the database when they come back.",
    )
    sensor_silent_s: float = Field(
        60, gt=0, description="Seconds without a reading after which a sensor counts as silent, for an hour."
    )
    consumer_group_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]*$", description="Put before every Kafka consumer group id."
    )
    instance: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name of this copy of a service, unique and stable: a static member of its consumer group.",
    )
    watchdog_s: float = Field(
        30, gt=0, description="Seconds without progress, with work to do and Kafka up, after which a service ends."
    )

    # -- logs, traces and tests
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "short"] = Field(
        "auto", description="JSON, a line an event; or short lines; `auto`: short on a terminal, JSON elsewhere."
    )
    tracing_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+.*)?$",
        description="Where spans go: an OpenTelemetry collector that speaks OTLP over HTTP, such as "
        "`http://127.0.0.1:4318`; empty: tracing is off.",
    )
    failpoint: str = Field("", description="Tests only: name of the point at which a service kills itself.")

    @field_validator("state_dir", mode="before")
    @classmethod
    def _state_dir(cls, value: Any) -> Any:
        if value == "":
            raise ValueError("it is empty, which would be the working directory")
        return value

    @field_validator("kafka_bootstrap")
    @classmethod
    def _bootstrap(cls, value: str) -> str:
        for server in value.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
                raise ValueError(f"{server.strip()!r} is not host:port")
        return value

    @field_validator("postgres_dsn", "postgres_reader_dsn")
    @classmethod
    def _dsn(cls, value: str, info: ValidationInfo) -> str:
        if (value or info.field_name == "postgres_dsn") and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("a PostgreSQL URL begins with postgresql://")
        return value

    @field_validator("gateway_tokens", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return json.loads(value) if value.lstrip().startswith("[") else value.split()

    @field_validator("gateway_tokens")
    @classmethod
    def _tokens(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, token in enumerate(value, 1):
            if not _TOKEN.fullmatch(token):  # and it is not told which
                raise ValueError(f"token {number} is not 32 to 256 letters, digits or . _ ~ + - without anything else")
        return value

    @field_validator("gateway_cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin[:60]!r} is no origin such as https://example.org:8443")
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

    def stats_port(self, service: str) -> int:
        """The metrics port of a service of ours, by its name."""
        return int(getattr(self, f"{service}_stats_port"))


#: The original's `.env` names that have a meaning here.
ORIGINAL_NAMES = {
    "KAFKA_HOST_PORT": "kafka_port",
    "PG_HOST_PORT": "postgres_port",
    "MQTT_PROXY_HOST_PORT": "mqtt_port",
    "MQTT_BROKER_HOST_PORT": "mqtt_port",
    "GATEWAY_HOST_PORT": "gateway_port",
    "PROMETHEUS_HOST_PORT": "prometheus_port",
    "COLLECTION_STATS_HOST_PORT": "collection_stats_port",
    "PROCESSING_STATS_HOST_PORT": "processing_stats_port",
    "AGGREGATION_STATS_HOST_PORT": "aggregation_stats_port",
    "LOAD_STATS_HOST_PORT": "loader_stats_port",
    "GATEWAY_STATS_HOST_PORT": "gateway_stats_port",
}


class _MappingSource(PydanticBaseSettingsSource):
    """A source that is a whole mapping, not one field at a time."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False


class SecretFilesSource(_MappingSource):
    """The secrets that a container is given as files; pydantic-settings' own source reads and warns of all others."""

    def __call__(self) -> dict[str, Any]:
        values = {}
        for field in SECRETS:
            path = SECRETS_DIR / f"{ENV_PREFIX.lower()}{field}"
            try:
                if os.path.isfile(path):
                    values[field] = path.read_text().strip()
            except (OSError, UnicodeDecodeError) as problem:
                raise ConfigurationInvalid(f"cannot read {path}: {problem}", hint="mend that file") from problem
        return values


class ConfigFileSource(_MappingSource):
    """The nearest `bdemo.toml`, in the working directory or above it."""

    def __call__(self) -> dict[str, Any]:
        path = find_upward(CONFIG_FILE)
        return read_config_file(path) if path else {}


class OriginalEnvSource(_MappingSource):
    """The original's names, from the environment or from `.env` in the working directory."""

    def __call__(self) -> dict[str, Any]:
        values = {**read_env_file(Path(".env")), **os.environ}
        return {field: values[name] for name, field in ORIGINAL_NAMES.items() if values.get(name)}


def read_config_file(path: Path) -> dict[str, Any]:
    """Settings of one `bdemo.toml`. Raises ConfigurationInvalid: unreadable, no TOML, unknown key, open secrets."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationInvalid(f"cannot read {path}: {problem}", hint="make it a readable UTF-8 file") from problem
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationInvalid(f"{path} is not TOML: {problem}", hint="mend that line") from problem
    for key in values:
        if key not in Settings.model_fields:
            raise ConfigurationInvalid(f"{path}: unknown setting {key!r}", hint=suggest(key, Settings.model_fields))
    if values.keys() & set(SECRETS) and path.stat().st_mode & 0o022:
        raise ConfigurationInvalid(f"{path} holds secrets and others may write it", hint=f"run: chmod 600 {path}")
    return values


def read_env_file(path: Path) -> dict[str, str]:
    """NAME=value lines of an env file; nothing when there is none."""
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines())
    pairs = (line.removeprefix("export ").partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


def load(**flags: Any) -> Settings:
    """The settings, `flags` (those that are not None) above all other sources. Raises ConfigurationInvalid."""
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and name[len(ENV_PREFIX) :].lower() not in Settings.model_fields:
            known = [ENV_PREFIX + field.upper() for field in Settings.model_fields]
            raise ConfigurationInvalid(f"unknown setting {name} in the environment", hint=suggest(name, known))
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as problem:
        first = problem.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "settings"
        raise ConfigurationInvalid(
            f"setting {field}: {first['msg'].lower().removeprefix('value error, ')}",
            hint=f"set it with {ENV_PREFIX}{field.partition('.')[0].upper()} or in {CONFIG_FILE}",
        ) from problem
    except Exception as problem:
        # pydantic-settings wraps what a source cannot parse (a list that is no JSON) in its own SettingsError
        if isinstance(problem, ConfigurationInvalid):
            raise
        raise ConfigurationInvalid(str(problem), hint="see docs/settings.md for each setting's form") from problem
