"""How far the gateway is reachable, and what it must ask for then; its certificate."""

from __future__ import annotations

import ipaddress
import ssl
from typing import TYPE_CHECKING, NoReturn

from backend_demo.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from backend_demo.settings import Settings

_STAY = "or leave BDEMO_GATEWAY_HOST at 127.0.0.1"


def check(settings: Settings) -> None:
    """Raises ConfigurationInvalid when other machines could reach the gateway without a token, or in the clear."""
    if (settings.gateway_tls_cert is None) != (settings.gateway_tls_key is None):
        raise ConfigurationInvalid(
            "one of gateway_tls_cert and gateway_tls_key is missing", hint="name both files, or neither"
        )
    if is_private(settings):
        return
    host = settings.gateway_host
    if not settings.gateway_tokens:
        raise ConfigurationInvalid(
            f"gateway_host {host} can be reached from other machines, and gateway_tokens is empty",
            hint=f"set BDEMO_GATEWAY_TOKENS (openssl rand -hex 32 makes one), {_STAY}",
        )
    if settings.gateway_tls_cert is None and not settings.gateway_plaintext:
        raise ConfigurationInvalid(
            f"gateway_host {host} can be reached from other machines, and tokens would travel in the clear",
            hint=f"set BDEMO_GATEWAY_TLS_CERT and BDEMO_GATEWAY_TLS_KEY, BDEMO_GATEWAY_PLAINTEXT=true, {_STAY}",
        )


def is_private(settings: Settings) -> bool:
    """Whether only this machine reaches the gateway."""
    return settings.gateway_published_on_loopback or is_loopback(settings.gateway_host)


def is_loopback(host: str) -> bool:
    """Whether an address on which somebody listens is one of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The gateway's side of TLS; None: it speaks plain HTTP. Raises ConfigurationInvalid."""
    certificate, key = settings.gateway_tls_cert, settings.gateway_tls_key
    if certificate is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except OSError as problem:  # ssl.SSLError is one
        reason = getattr(problem, "reason", None) or problem.strerror or problem
        raise ConfigurationInvalid(
            f"cannot use {certificate} with {key}: {reason}",
            hint="gateway_tls_cert and gateway_tls_key are PEM files that belong together, the key without a password",
        ) from problem
    return context


def _no_password() -> NoReturn:
    raise OSError("the key has a password")
