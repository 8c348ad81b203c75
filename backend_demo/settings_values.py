"""The values of settings that need more than a type: how a user may write them, and what is wrong with the others."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from backend_demo.domain.reading import epoch_seconds
from backend_demo.text import host_and_port

#: Characters that need no escaping in a header or a WebSocket subprotocol; 32 hexadecimal digits are 128 bits.
_TOKEN = re.compile(r"[A-Za-z0-9._~+-]{32,256}", re.ASCII)

#: An origin as a browser writes it: no path, no slash at the end.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?", re.ASCII)

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _from_here(value: Path) -> Path:
    return value.expanduser().absolute()


def _addresses(value: str) -> str:
    for server in value.split(","):
        host_and_port(server)
    return value


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else value.split()


def _tokens(value: tuple[str, ...]) -> tuple[str, ...]:
    for number, token in enumerate(value, 1):
        if not _TOKEN.fullmatch(token):  # the message must not contain the token
            raise ValueError(
                f"token {number} is invalid: a token has 32 to 256 characters, letters, digits and . _ ~ + - only"
            )
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"invalid origin {origin[:60]!r}, expected for example https://example.org:8443")
    return value


def _moment(value: Any) -> Any:
    if isinstance(value, date):  # TOML has dates and times of its own
        value = value.isoformat()
    if not isinstance(value, str):
        return value
    given = value.strip()
    full = f"{given}T00:00:00" if _DATE.fullmatch(given) else given
    for written in (full, f"{full}Z"):
        moment = epoch_seconds(written)
        if moment is not None:
            return moment
    raise ValueError("neither epoch seconds nor an RFC 3339 date or time")


ServerAddresses = Annotated[str, AfterValidator(_addresses)]
"""`host:port`, or several of them with commas between."""

Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Words with blanks between, or a JSON list."""

Tokens = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_tokens)]
"""Words, lines, or a JSON list."""

Origins = Annotated[tuple[str, ...], AfterValidator(_origins)]
"""Origins of web pages."""

Moment = Annotated[float, BeforeValidator(_moment)]
"""Epoch seconds, or an RFC 3339 date or time; an offset that is missing is UTC."""

#: A file; a relative path begins where the command was typed, also for the services that it starts.
FilePath = Annotated[Path, AfterValidator(_from_here)]
