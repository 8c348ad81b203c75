"""Texts that people write or read: addresses, elapsed time, and foreign text that no terminal or spreadsheet obeys."""

from __future__ import annotations

import json
import re

PORT_MAX = 65_535

#: What a formula begins with, also in full width.
_FORMULA = frozenset("=+-@＝＋－＠")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
#: The ports of MQTT where an address has a scheme and names no port: without TLS, with it.
_MQTT_PORTS = (1883, 8883)

#: The password in a URL; up to the last `@`, since one that is not quoted may hold some itself.
_URL_PASSWORD = re.compile(r"""(://[^\s:/@'"]*:)[^\s'"]*@""")
_PASSWORD_PARAMETER = re.compile(r"""([?&]\w*password=)[^\s&'"]*""", re.IGNORECASE)

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def host_and_port(text: str) -> tuple[str, int]:
    """The two parts of `host:port`; an IPv6 address stands in brackets, and loses them. Raises ValueError."""
    host, _, port = text.strip().rpartition(":")
    # a longer number is refused by its length: Python limits the digits that it turns into an integer
    if not host or not (port.isascii() and port.isdigit()) or not 1 <= int(port[:6]) <= PORT_MAX:
        raise ValueError(f"invalid address {text.strip()[:60]!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def mqtt_address(text: str) -> tuple[str, int, bool | None]:
    """Host, port and whether TLS is used, of `host:port`, `mqtt://host` or `mqtts://host:port`.

    Without a scheme, TLS is None: as the settings say. Raises ValueError.
    """
    given = text.strip()
    scheme, found, rest = given.rpartition("://")
    if not found:
        return (*host_and_port(given), None)
    secure = scheme.lower() == "mqtts"
    if not re.fullmatch("mqtts?", scheme, re.IGNORECASE):
        raise ValueError(f"invalid address {given[:60]!r}: the scheme is mqtt or mqtts")
    rest = rest.removesuffix("/")
    if re.search(r"[/@?#]", rest):
        raise ValueError(f"invalid address {rest.rpartition('@')[2][:60]!r}: only host and port may follow the scheme")
    if re.fullmatch(r"[^:\[\]]+|\[[^\[\]]+\]", rest):
        rest = f"{rest}:{_MQTT_PORTS[secure]}"
    return (*host_and_port(rest), secure)


def without_passwords(text: str) -> str:
    """The text with `***` in place of each password in a URL, such as that of a PostgreSQL DSN."""
    return _PASSWORD_PARAMETER.sub(r"\1***", _URL_PASSWORD.sub(r"\1***@", text))


_UNITS_S = {"w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# each unit at most once, larger ones first
_DURATION = re.compile("".join(f"(?:([0-9]+(?:\\.[0-9]+)?){unit})?" for unit in _UNITS_S))


def seconds_of(text: str) -> float | None:
    """The seconds of `90d`, `1.5h`, `1h30m` or `250ms`; None when it is no duration with units."""
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    return sum(float(amount) * unit for amount, unit in zip(match.groups(), _UNITS_S.values(), strict=True) if amount)


def duration(seconds: float, *, units: int = 2) -> str:
    """Elapsed time in its largest units, whole seconds: `48 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    left = int(max(0.0, seconds))
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:units])


def age(seconds: float) -> str:
    """How long ago, with tenths of a second below a minute: `0.4 s`, `3 min 20 s`; `in 2.5 s` is ahead of now."""
    if seconds < 0:
        return f"in {-seconds:.1f} s"
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def escaped(text: str, *, keep: str = "") -> str:
    """The text with escapes for what would steer a terminal or is invisible, except the characters in `keep`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escape(each) for each in text)


def escaped_bytes(raw: bytes) -> str:
    """Bytes as one line of text: what is not UTF-8, or would steer a terminal, is escaped."""
    return escaped(raw.decode(errors="backslashreplace"))


def escaped_json(document: str) -> str:
    """The same JSON document with JSON's own escapes for what would steer a terminal or is invisible.

    Line breaks stay: JSON has them only between its parts, and no other such characters outside of strings but tabs,
    which the document must not have.
    """
    if document.isprintable():
        return document
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in document)


def as_csv_cell(text: str) -> str:
    """Foreign text as a cell of CSV: on one line, and no formula for a spreadsheet, as OWASP recommends.

    What a spreadsheet would calculate begins with an apostrophe; a number stays one.
    """
    shown = escaped(text)
    return f"'{shown}" if text.lstrip()[:1] in _FORMULA and not _NUMBER.fullmatch(text) else shown


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
