"""The settings of MQTT: where clients connect, what the proxy takes from them, and the bridge from another broker."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from backend_demo import settings_values as values
from backend_demo.text import host_and_port, mqtt_address


class MqttSettings(BaseSettings):
    """Part of `Settings`."""

    # -- where clients connect
    mqtt_host: str = Field("127.0.0.1", description="Host of the MQTT proxy, or of the broker that the bridge uses.")
    mqtt_port: int = Field(1883, ge=1, le=65535, description="Port of the MQTT proxy, or of the bridge's broker.")
    mqtt_username: str = Field("", description="MQTT user name; empty: connect without one.")
    mqtt_password: str = Field("", repr=False, description="MQTT password.")
    mqtt_users_file: Path | None = Field(None, description="File with the MQTT users; the stack keeps it.")
    mqtt_tls: bool = Field(False, description="Connect to the MQTT broker with TLS.")
    mqtt_ca_file: values.FilePath | None = Field(
        None, description="Certificates that prove the MQTT broker's, PEM; None: those that the system trusts."
    )
    mqtt_client_cert: values.FilePath | None = Field(
        None, description="The client's certificate with its chain, PEM, for an MQTT broker that asks for one."
    )
    mqtt_client_key: values.FilePath | None = Field(
        None, description="The private key of `mqtt_client_cert`, PEM, without a password."
    )
    mqtt_source: Literal["proxy", "bridge"] = Field(
        "proxy",
        description="Where readings come from: `proxy`, clients connect to the stack; `bridge`, the stack subscribes "
        "at the MQTT broker that `mqtt_host` and `mqtt_port` name.",
    )

    # -- what is taken
    mqtt_filters: tuple[str, ...] = Field(
        ("sensors/#", "/#"),
        min_length=1,
        description="MQTT topic filters of readings: the proxy refuses other topics, the bridge subscribes to these.",
    )
    max_payload_bytes: int = Field(
        16_384, ge=64, le=65_536, description="Largest MQTT payload that is accepted, bytes."
    )
    bridge_group: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name of a shared subscription (`$share/NAME/...`), at a broker that has them: the broker then "
        "spreads messages over all bridges of that name. Empty: there is one bridge.",
    )
    bridge_in_flight: int = Field(
        1000,
        ge=1,
        le=60_000,
        description="Maximum number of the bridge's MQTT messages that wait for Kafka's acknowledgement.",
    )

    # -- the proxy, and what it bounds
    mqtt_listen_host: str = Field("127.0.0.1", description="Address on which the MQTT proxy listens.")
    mqtt_stats_port: int = Field(7007, ge=1, le=65535, description="Port of the MQTT proxy's metrics.")
    mqtt_connections: int = Field(
        20_000, ge=1, le=1_000_000, description="Maximum number of MQTT clients of one copy of the proxy."
    )
    mqtt_in_flight: int = Field(
        1000,
        ge=1,
        le=65_535,
        description="Maximum number of one client's MQTT messages that wait for Kafka's acknowledgement.",
    )
    mqtt_held: int = Field(
        50_000,
        ge=100,
        le=10_000_000,
        description="Maximum number of MQTT messages of all clients that wait for Kafka; then sockets are not read.",
    )
    mqtt_held_mb: int = Field(
        64, ge=1, le=65_536, description="Maximum size of the payloads that wait for Kafka, MiB; then as above."
    )
    mqtt_packet_bytes: int = Field(
        262_144,
        ge=65_536 + 1024,
        le=268_435_455,
        description="Largest MQTT packet, bytes. A larger one disconnects an MQTT 5 client; before MQTT 5, it becomes "
        "a dead letter with its first bytes.",
    )
    mqtt_topic_bytes: int = Field(1024, ge=1, le=65_535, description="Longest MQTT topic that is accepted, bytes.")
    mqtt_topic_aliases: int = Field(
        32, ge=0, le=65_535, description="Maximum number of topic aliases of an MQTT 5 client."
    )
    mqtt_subscriptions: int = Field(100, ge=1, le=100_000, description="Maximum number of one client's subscriptions.")
    mqtt_subscriber_kb: int = Field(
        4096,
        ge=64,
        le=1_048_576,
        description="Unread messages, KiB, above which a subscriber counts as too slow and is disconnected.",
    )
    mqtt_connect_timeout_s: float = Field(
        10, gt=0, le=3600, description="Seconds within which a new connection must have sent CONNECT."
    )
    mqtt_packet_timeout_s: float = Field(
        30,
        gt=0,
        le=3600,
        description="Seconds within which a packet that has begun must be complete, and what was sent must be read.",
    )
    mqtt_keep_alive_max_s: int = Field(
        3600,
        ge=5,
        le=65_535,
        description="Longest keep-alive of an MQTT 5 client, seconds; longer ones, and none, are set to it.",
    )

    @field_validator("mqtt_host")
    @classmethod
    def _bare_host(cls, value: str) -> str:
        """Refuses a URL, or a port with the host, which would be looked up as a name."""
        try:
            if "://" in value:
                host, port, tls = mqtt_address(value)
            elif value.count(":") == 1:
                (host, port), tls = host_and_port(value), None
            else:
                return value
        except ValueError as problem:
            raise ValueError(f"{problem}; expected a host name alone, such as mqtt.example") from problem
        secure = "" if tls is None else f" BDEMO_MQTT_TLS={str(tls).lower()}"
        raise ValueError(
            f"{value[:60]!r} is more than a host name: set BDEMO_MQTT_HOST={host} BDEMO_MQTT_PORT={port}{secure}"
        )
