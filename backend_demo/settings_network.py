"""The settings of a stack that other machines can reach."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from backend_demo import settings_values as values


class NetworkSettings(BaseSettings):
    """Part of `Settings`."""

    listen: str = Field(
        "",
        pattern=r"^[A-Za-z0-9.:-]*$",
        description="Address of this machine at which the MQTT proxy and the gateway are open to the network, with TLS "
        "and credentials only; empty: to this machine only.",
    )
    mqtt_tls_port: int = Field(8883, ge=1, le=65535, description="Port of the MQTT proxy at `listen`.")
    gateway_tls_port: int = Field(8443, ge=1, le=65535, description="Port of the gateway at `listen`.")
    tls_cert: values.FilePath | None = Field(
        None,
        description="Certificate, with its chain, for `listen`, PEM; None: the stack makes one, from an authority of "
        "its own.",
    )
    tls_key: values.FilePath | None = Field(None, description="The private key of `tls_cert`, PEM.")
    network_tokens: values.Tokens = Field(
        (), repr=False, description="Tokens that the gateway asks for at `listen`; the stack makes one."
    )
    gateway_private: bool = Field(
        False, description="The gateway asks for a token on this machine as well; the stack makes one."
    )
    stats_allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Host names that requests of metrics may use, besides localhost, `stats_host` and, where that is "
        "no loopback address, any address and the service's own name.",
    )
