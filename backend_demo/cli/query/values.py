"""Values of the database as JSON and as text. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

#: asyncpg's infinite times.
_INFINITE: dict[date, str] = {
    datetime.max: "infinity",
    datetime.min: "-infinity",
    date.max: "infinity",
    date.min: "-infinity",
}
#: JSON whose numbers are as exact as the database's.
encode = msgspec.json.Encoder(decimal_format="number").encode

_PLAIN = (bool, int, str, type(None))


def as_json(value: Any) -> Any:
    """The value in JSON: a number stays a number where JSON has it; what JSON lacks becomes text."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else as_text(value)
    if isinstance(value, Decimal):
        return value if value.is_finite() else as_text(value)
    if isinstance(value, Mapping):
        return {str(name): as_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(inner) for inner in value]
    if hasattr(value, "items"):  # asyncpg's records, of composite types
        return {name: as_json(inner) for name, inner in value.items()}
    return as_text(value)


def as_text(value: Any, null: str = "null") -> str:
    """The value as PostgreSQL writes it, or nearly so: times in RFC 3339, bytes in hexadecimal, arrays as JSON."""
    match value:
        case None:
            return null
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case float() if math.isnan(value):
            return "NaN"
        case int() | float():
            return repr(value)
        case Decimal():
            return format(value, "f") if value.is_finite() else str(value)
        case datetime() if value.replace(tzinfo=None) in _INFINITE:
            return _INFINITE[value.replace(tzinfo=None)]
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return _INFINITE.get(value) or value.isoformat()
        case bytes():
            return "\\x" + value.hex()
        case _ if isinstance(value, Mapping | list | tuple | set | frozenset) or hasattr(value, "items"):
            return encode(as_json(value)).decode()
        case _ if hasattr(value, "lower_inc"):  # asyncpg's ranges
            return _range(value)
        case _:
            return str(value)


def _range(value: Any) -> str:
    if value.isempty:
        return "empty"
    lower, upper = as_text(value.lower, null=""), as_text(value.upper, null="")
    return f"{'[' if value.lower_inc else '('}{lower},{upper}{']' if value.upper_inc else ')'}"
