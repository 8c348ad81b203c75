"""The names of sensors: what is one, and the number that stands for it in every record and row."""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b

#: Longest name, characters.
NAME_MAX = 128

#: Largest sensor number: the column is a bigint.
SENSOR_MAX = 2**63 - 1

#: Numbers of names lie from here to below twice of it: below 2^53 a JavaScript number is exact, and the small numbers
#: that people give to sensors are never a name's.
NAMED_MIN = 2**52

#: What separates levels of MQTT topics and stands for any of them, and what a decoder puts for bytes that are no UTF-8.
_RESERVED = "/+#\ufffd"


_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


def name_problem(name: str) -> str | None:
    """Why this cannot be the name of a sensor; None when it can."""
    if not name:
        return "an empty name"
    if name.removeprefix("-").isdecimal():
        return f"not a number from 0 to {SENSOR_MAX} without leading zeros" if number_in(name) is None else None
    if len(name) > NAME_MAX:
        return f"a name of {len(name)} characters, more than {NAME_MAX}"
    if name != name.strip():
        return "a name with a space at its beginning or end"
    for character in name:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _RESERVED:
            return f"a name with the character {character!r}"
    return None


def number_in(text: str) -> int | None:
    """The sensor number that a text spells in decimal digits, without leading zeros; None when it spells none."""
    if _NUMBER.fullmatch(text) is None:
        return None
    number = int(text)
    return number if number <= SENSOR_MAX else None


def number_of(name: str) -> int:
    """The number of the sensor with this name; decimal digits are the number itself.

    The first 52 bits of BLAKE2b (digest of 8 bytes) over the name in UTF-8, plus 2^52: the same in every process,
    version and language.
    """
    number = number_in(name)
    if number is not None:
        return number
    digest = blake2b(name.encode(), digest_size=8).digest()
    return NAMED_MIN + (int.from_bytes(digest, "big") >> 12)
