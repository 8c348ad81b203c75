"""Who can reach the gateway, whether that requires tokens and TLS, and its certificate."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from backend_demo.adapters import network
from backend_demo.adapters.network import ServerContext, server_context
from backend_demo.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from backend_demo.settings import Settings

_STAY = "or leave BDEMO_GATEWAY_HOST at 127.0.0.1"


def check(settings: Settings) -> None:
    """Raises ConfigurationInvalid if other machines could reach the gateway without a token or without TLS."""
    if (settings.gateway_tls_cert is None) != (settings.gateway_tls_key is None):
        raise ConfigurationInvalid(
            "one of gateway_tls_cert and gateway_tls_key is missing", hint="set both, or neither"
        )
    if is_private(settings):
        return
    host = settings.gateway_host
    if not settings.gateway_tokens:
        raise ConfigurationInvalid(
            f"gateway_host {host} can be reached from other machines, but gateway_tokens is empty",
            hint=f"set BDEMO_GATEWAY_TOKENS (openssl rand -hex 32 generates one), {_STAY}",
        )
    if settings.gateway_tls_cert is None and not settings.gateway_plaintext:
        raise ConfigurationInvalid(
            f"gateway_host {host} can be reached from other machines, and tokens would be sent unencrypted",
            hint=f"set BDEMO_GATEWAY_TLS_CERT and BDEMO_GATEWAY_TLS_KEY, BDEMO_GATEWAY_PLAINTEXT=true, {_STAY}",
        )


def is_private(settings: Settings) -> bool:
    """Whether only this machine can reach the gateway."""
    return settings.gateway_published_on_loopback or is_loopback(settings.gateway_host)


def is_loopback(host: str) -> bool:
    """Whether a listening address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_context(settings: Settings) -> ServerContext | None:
    """The gateway's TLS context; None: plain HTTP. Raises ConfigurationInvalid."""
    certificate, key = settings.gateway_tls_cert, settings.gateway_tls_key
    if certificate is None or key is None:
        return None
    context = server_context(certificate, key, names="gateway_tls_cert and gateway_tls_key")
    context.set_alpn_protocols(["http/1.1"])
    return context


def network_context(settings: Settings) -> ServerContext | None:
    """The TLS context of `listen`; None: the gateway is not open to the network. Raises ConfigurationInvalid."""
    if not settings.listen:
        return None
    if not settings.network_tokens:
        raise ConfigurationInvalid(
            f"listen is {settings.listen}, but network_tokens is empty",
            hint="bdemo up --listen makes one; for a gateway that runs alone, set BDEMO_NETWORK_TOKENS",
        )
    context = network.tls_context(settings)
    context.set_alpn_protocols(["http/1.1"])
    return context
