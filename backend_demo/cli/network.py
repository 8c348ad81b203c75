"""`bdemo up --listen` and `--tls`: what they take, and what a device of another machine needs."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from backend_demo.errors import UsageError
from backend_demo.text import duration

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.stack.state.directory import StateDirectory

#: Where `--tls` alone opens the ports with TLS.
LOOPBACK = "127.0.0.1"

#: A certificate with less time left is worth a warning, seconds: one of the stack's own has been renewed long before.
EXPIRES_SOON_S = 14 * 86_400


@dataclass(frozen=True)
class NetworkAccess:
    """How other machines reach the stack."""

    mqtt: str
    """host:port of MQTT with TLS."""
    gateway: str
    """The gateway's URL."""
    ca_file: str
    """The certificate of the authority that clients must trust, on this machine; empty: of a certificate of yours."""
    certificate_expires: str | None
    """When the certificate ends, RFC 3339; null: its file cannot be read."""
    token_file: str
    """The file that holds the gateway's token, under `network_token`."""


def check(settings: Settings) -> None:
    """Raises UsageError when the stack cannot be opened to the network, or closed to others, as the settings ask."""
    if settings.gateway_private and settings.stack == "compose":
        raise UsageError(
            "--private cannot be combined with --stack compose", hint="only the embedded stack has such a gateway"
        )
    if not settings.listen:
        return
    if settings.stack == "compose":
        raise UsageError(
            "--listen and --tls cannot be combined with --stack compose",
            hint="only the embedded stack has ports with TLS",
        )
    if settings.listen in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        raise UsageError(
            f"--listen {settings.listen}: the certificate must name one address", hint="hostname -I lists them"
        )
    try:
        family = socket.getaddrinfo(settings.listen, 0, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.bind((settings.listen, 0))
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        raise UsageError(
            f"--listen {settings.listen} is not an address of this machine: {reason}", hint="hostname -I lists them"
        ) from problem


def is_ignored(settings: Settings, state: StateDirectory) -> bool:
    """Whether the running stack is not open where the settings ask for it: it was started otherwise."""
    return bool(settings.listen) and settings.listen != state.record.settings().get("listen")


def access(state: StateDirectory) -> NetworkAccess | None:
    """How other machines reach the running stack; None: they do not."""
    recorded = state.record.settings()
    address = recorded.get("listen")
    if not address:
        return None
    host = f"[{address}]" if ":" in address else address
    own = str(recorded["tls_cert"]).startswith(str(state.tls))
    return NetworkAccess(
        mqtt=f"{host}:{recorded['mqtt_tls_port']}",
        gateway=f"https://{host}:{recorded['gateway_tls_port']}",
        ca_file=str(state.tls / "ca.pem") if own else "",
        certificate_expires=_expiry(Path(recorded["tls_cert"])),
        token_file=str(state.secrets_file),
    )


def _expiry(certificate: Path) -> str | None:
    from backend_demo.stack.state.certificates import expiry  # only for a stack that has one: it takes 0.1 s

    try:
        return expiry(certificate).isoformat()
    except (OSError, ValueError):
        return None


def certificate_line(found: NetworkAccess) -> str:
    """How long the certificate is good, and what to do when it soon ends."""
    if found.certificate_expires is None:
        return "the certificate cannot be read: run bdemo down, then bdemo up"
    expires = datetime.fromisoformat(found.certificate_expires)
    left_s = (expires - datetime.now(UTC)).total_seconds()
    until = f"{expires.astimezone():%Y-%m-%d %H:%M %Z}"
    fix = "see: bdemo down, then bdemo up" if found.ca_file else "replace the files of BDEMO_TLS_CERT and BDEMO_TLS_KEY"
    if left_s <= 0:
        return f"the certificate expired on {until}: {fix}"
    soon = f": {fix}" if left_s < EXPIRES_SOON_S else ""
    renewed = ", and is renewed by itself" if found.ca_file and not soon else ""
    return f"the certificate is good until {until}, {duration(left_s, units=1)}{renewed}{soon}"


def lines(found: NetworkAccess) -> Iterator[str]:
    """What to do on a device."""
    host, _, port = found.mqtt.rpartition(":")
    trusted = f"--cafile {shlex.quote(found.ca_file.rpartition('/')[2])} " if found.ca_file else ""
    who = "Programs of this machine" if found.mqtt.startswith(f"{LOOPBACK}:") else "Other machines"
    yield f"{who} reach MQTT and the gateway, with TLS. A device needs:"
    yield f"  address   {found.mqtt}"
    if found.ca_file:
        yield f"  CA file   {found.ca_file}"
    yield "  user      bdemo mqtt user add NAME --publish 'sensors/7/#'"
    yield f"  then      mosquitto_pub -h {host.strip('[]')} -p {port} {trusted}-u NAME -P PASSWORD -q 1 \\"
    yield "              -t sensors/7/temperature -m '{\"value\": 21.5, \"timestamp\": '$(date +%s)'}'"
    yield certificate_line(found)[:1].upper() + certificate_line(found)[1:]
    yield f"The gateway is at {found.gateway} and asks for the token `network_token` in {found.token_file}"
