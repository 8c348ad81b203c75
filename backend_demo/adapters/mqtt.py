"""Connecting to an MQTT broker: options, credentials, time limits.

Nothing is taken from the environment of the user's shell, and no proxy is used.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import ssl
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from backend_demo.adapters.network import client_context
from backend_demo.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: One attempt to connect, seconds.
CONNECT_TIMEOUT_S = 5.0
#: A broker that is silent for this long is gone, seconds; it judges its clients by one and a half times as much.
KEEP_ALIVE_S = 10
#: Pause before a lost connection is made again, seconds; after each failure, that of the bridge is twice as long.
RECONNECT_S, RECONNECT_MAX_S = 1, 16


@dataclass(frozen=True)
class Broker:
    """Where to connect, and as whom; an empty user name: without one."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    tls: bool = False
    ca_file: Path | None = None
    """Certificates of the authorities that are trusted, PEM; None: those of the system."""
    client_cert: Path | None = None
    """The certificate of this client, with its chain, PEM; None: it has none."""
    client_key: Path | None = None
    """The key of `client_cert`, PEM."""

    @classmethod
    def of(cls, settings: Settings) -> Broker:
        """The broker that the settings name."""
        return cls(
            settings.mqtt_host,
            settings.mqtt_port,
            settings.mqtt_username,
            settings.mqtt_password,
            settings.mqtt_tls,
            settings.mqtt_ca_file,
            settings.mqtt_client_cert,
            settings.mqtt_client_key,
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int, int]:
        """Host, port and keep-alive: what paho's `connect` and `connect_async` take."""
        return self.host, self.port, KEEP_ALIVE_S


def make_client(
    broker: Broker, client_id: str, *, keep_session: bool = False, manual_ack: bool = False, reconnect: bool = True
) -> paho.Client:
    """A paho client for this broker, not yet connected: MQTT 3.1.1.

    `keep_session`: the broker keeps its subscriptions and unacknowledged messages while it is away. `manual_ack`: a
    message is acknowledged by `ack`, not when its callback returns. `reconnect`: paho's own loop connects again.
    """
    made = _Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=paho.MQTTv311,
        clean_session=not keep_session,
        manual_ack=manual_ack,
        reconnect_on_failure=reconnect,
    )
    made.connect_timeout = CONNECT_TIMEOUT_S
    made.reconnect_delay_set(RECONNECT_S, RECONNECT_S)
    if broker.username:
        made.username_pw_set(broker.username, broker.password)
    if broker.tls:
        made.tls_set_context(tls_context(broker))
    return made


class _Client(paho.Client):
    def _get_proxy(self) -> None:
        """No proxy: with the package PySocks, paho would take MQTT_PROXY, for a broker on this machine too."""


def read(client: paho.Client) -> None:
    """Reads what the socket of a client without a thread holds, and what TLS has taken from it in advance."""
    client.loop_read()
    while isinstance(secure := client.socket(), ssl.SSLSocket) and secure.pending():
        client.loop_read()


def tls_context(broker: Broker) -> ssl.SSLContext:
    """Trusts the authorities in the file, or those of the system; has our certificate. Raises ConfigurationInvalid."""
    if (broker.client_cert is None) != (broker.client_key is None):
        raise ConfigurationInvalid(
            "one of mqtt_client_cert and mqtt_client_key is missing", hint="set both, or neither"
        )
    return client_context(broker.ca_file, broker.client_cert, broker.client_key, prefix="mqtt")


def unique_id(purpose: str) -> str:
    """A client id that no other client has: a broker ends the session of a client whose id comes a second time."""
    return f"bdemo-{purpose}-{os.getpid()}-{secrets.token_hex(4)}"


def session_id(broker: Broker, name: str, folder: Path) -> str:
    """A client id that stays the same after every start, and that nobody else can guess.

    A broker gives a session, with all that waits in it, to whoever comes with its client id. With a password the id is
    made of that; without one it is random, and kept in a file in `folder`.
    """
    secret = broker.password
    if not secret:
        file = folder / f"{name}-client-id"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError), open(file, "x", opener=partial(os.open, mode=0o600)) as made:
            made.write(secrets.token_urlsafe(18))
        secret = file.read_text()
    return f"bdemo-{name}-{hashlib.blake2b(secret.encode(), person=b'mqtt client id', digest_size=9).hexdigest()}"
