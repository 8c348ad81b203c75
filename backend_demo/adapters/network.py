"""TLS: of what other machines can reach, the MQTT proxy and the gateway at the address `listen`, and of clients."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import structlog

from backend_demo.errors import BdemoError, ConfigurationInvalid
from backend_demo.trust import check_private

if TYPE_CHECKING:
    from backend_demo.settings import Settings

log = structlog.get_logger(__name__)

_Times = tuple[int | None, ...]
"""When files were changed, nanoseconds since 1970; None: there is no such file."""


def tls_context(settings: Settings) -> ServerContext:
    """The TLS of `listen`. Raises ConfigurationInvalid."""
    if settings.tls_cert is None or settings.tls_key is None:
        raise ConfigurationInvalid(
            f"listen is {settings.listen}, but tls_cert or tls_key is missing",
            hint="bdemo up --listen makes both; for a service that runs alone, set BDEMO_TLS_CERT and BDEMO_TLS_KEY",
        )
    return server_context(settings.tls_cert, settings.tls_key, names="tls_cert and tls_key")


class ServerContext(ssl.SSLContext):
    """The TLS of a server, whose certificate may be replaced while it serves."""

    files: tuple[Path, Path]
    """The certificate with its chain, and its key."""
    names: str
    """Of the settings that hold the two files."""
    _loaded: _Times
    _seen: _Times

    def serve(self, certificate: Path, key: Path, *, names: str) -> None:
        """Takes these files. Raises ConfigurationInvalid."""
        self.files, self.names = (certificate, key), names
        self._loaded = self._seen = self._times()
        _load(self, *self.files, names=self.names)

    def renewed(self) -> bool:
        """Takes the files again if they have changed since; True if it did. Open connections stay as they are.

        Raises ConfigurationInvalid, once, when they cannot be used: what was loaded before stays.
        """
        times = self._times()
        settled, self._seen = times == self._seen, times  # certificate and key are two files, written one by one
        if times == self._loaded or not settled or None in times:
            return False
        self._loaded = times
        server_context(*self.files, names=self.names)  # a pair that does not match must not reach this context
        _load(self, *self.files, names=self.names)
        return True

    def _times(self) -> _Times:
        found: list[int | None] = []
        for file in self.files:
            try:
                found.append(file.stat().st_mtime_ns)
            except OSError:
                found.append(None)
        return tuple(found)


def server_context(certificate: Path, key: Path, *, names: str) -> ServerContext:
    """The TLS of a server. `names`: of the settings that hold the two files. Raises ConfigurationInvalid."""
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.serve(certificate, key, names=names)
    return context


def client_context(ca_file: Path | None, certificate: Path | None, key: Path | None, *, prefix: str) -> ssl.SSLContext:
    """The TLS of a client, which trusts the authorities in a file, or those of the system.

    `prefix`: of the names of the settings that hold the files. Raises ConfigurationInvalid.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as problem:  # of which SSLError is one
        raise ConfigurationInvalid(
            f"cannot use {prefix}_ca_file {ca_file}: {getattr(problem, 'reason', None) or problem.strerror or problem}",
            hint="name a file with certificates in PEM form",
        ) from problem
    if certificate is not None and key is not None:
        _load(context, certificate, key, names=f"{prefix}_client_cert and {prefix}_client_key")
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path, *, names: str) -> None:
    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except OSError as problem:  # ssl.SSLError is one
        reason = getattr(problem, "reason", None) or problem.strerror or problem
        raise ConfigurationInvalid(
            f"cannot use {certificate} with {key}: {reason}",
            hint=f"{names} must be matching PEM files, the key without a password",
        ) from problem
    check_private(key)


def take_renewed(contexts: Iterable[ServerContext | None]) -> None:
    """Lets each take its certificate again if that has changed; to be called every second or so."""
    for context in contexts:
        try:
            if context is not None and context.renewed():
                log.info("certificate renewed", file=str(context.files[0]))
        except BdemoError as problem:
            log.error("renewed certificate cannot be used", reason=problem.message, hint=problem.hint)


def no_password() -> NoReturn:
    """Stands where a password would be asked for at the terminal."""
    raise OSError("the key has a password")
