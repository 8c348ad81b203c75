"""What a PostgreSQL DSN means to libpq and not to asyncpg, which hands all options that it does not know to the server.

The options: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

#: Make no difference to what a client of ours does, or only to how soon it sees that a server is gone: it has limits.
_WITHOUT_EFFECT = frozenset(
    {
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
        *("sslcompression", "sslsni", "sslcertmode", "gssdelegation", "fallback_application_name"),
        *("load_balance_hosts", "client_encoding"),
    }
)

#: What asks for less than we can do, by option; any other value asks for something that asyncpg cannot do.
_CANNOT = {
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    "require_auth": (),
    "sslcrldir": (),
}

#: libpq's default of `sslmode` and the modes, from the weakest.
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True)
class Dsn:
    """A DSN as asyncpg takes it, with what has to be told it beside."""

    text: str
    connect_timeout_s: float | None = None
    """None: none is named."""
    tls: ssl.SSLContext | None = None
    """None: the DSN says it."""


def understood(dsn: str) -> Dsn:
    """The DSN with all that asyncpg does not know taken care of. Raises ValueError."""
    parts = urlsplit(dsn)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, harmless in _CANNOT.items():
        if name in options and options.pop(name) not in harmless:
            raise ValueError(
                f"{name} asks for what this client cannot do; without it, sslmode=verify-full proves who the server is"
            )
    for name in _WITHOUT_EFFECT & options.keys():
        del options[name]
    mode = options.get("sslmode", "prefer")
    if mode not in MODES:
        raise ValueError(f"invalid sslmode {mode!r}: it is one of {', '.join(MODES)}")
    limit = options.pop("connect_timeout", None)
    tls = None
    if options.get("sslrootcert") == "system":  # libpq: the authorities of the system, and never less than verify-full
        if options.get("sslmode", "verify-full") != "verify-full":
            raise ValueError("sslrootcert=system goes with sslmode=verify-full only")
        options = {name: value for name, value in options.items() if name not in ("sslrootcert", "sslmode")}
        tls = ssl.create_default_context()
    return Dsn(urlunsplit(parts._replace(query=urlencode(options))), _seconds(limit), tls)


def _seconds(limit: str | None) -> float | None:
    """libpq's limit: whole seconds, 0 or less for none, and never 1."""
    if limit is None:
        return None
    try:
        seconds = int(limit)
    except ValueError:
        raise ValueError(f"invalid connect_timeout {limit!r}: it is in whole seconds") from None
    return float("inf") if seconds <= 0 else float(max(2, seconds))
