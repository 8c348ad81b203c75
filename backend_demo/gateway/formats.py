"""The forms of an answer of rows: JSON, CSV and NDJSON, made block by block. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Name = Literal["json", "csv", "ndjson"]


@dataclass(frozen=True)
class Form:
    """How rows become text: `head`, blocks with `between` in between, `tail`."""

    media_type: str
    encode: Callable[[Sequence[Any]], str]
    head: str = ""
    between: str = ""
    tail: str = ""


def json_form(name: str) -> Form:
    """A JSON document with all rows; `name`: of the array."""
    return Form("application/json", _objects, f'{{"{name}":[', ",", '],"truncated":false,"next":null}')


def _objects(rows: Sequence[Any]) -> str:
    # numbers need no quoting, and repr() gives a float exactly: a third of the time of an encoder that is given dicts
    return ",".join([f'{{"sensor":{row[0]},"timestamp":{row[1]!r},"value":{row[2]!r}}}' for row in rows])


CSV = Form(
    "text/csv; charset=utf-8; header=present",
    lambda rows: "".join([f"{row[0]},{row[1]!r},{row[2]!r}\r\n" for row in rows]),
    head="sensor,timestamp,value\r\n",
)

NDJSON = Form(
    "application/x-ndjson",
    lambda rows: "".join([f'{{"sensor":{row[0]},"timestamp":{row[1]!r},"value":{row[2]!r}}}\n' for row in rows]),
)

#: By media type, the first being what is given to a client that takes anything.
MEDIA_TYPES: dict[str, Name] = {
    "application/json": "json",
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
}


def accepted(header: str) -> Name | None:
    """The form that a request's `Accept` prefers (RFC 9110, 12.5.1); None: it takes none of ours."""
    best: tuple[float, int, Name] | None = None
    for place, entry in enumerate(header.split(",")):
        media_range, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = _quality(parameters)
        found = next((form for media_type, form in MEDIA_TYPES.items() if _matches(media_range, media_type)), None)
        if found is not None and quality > 0 and (best is None or (-quality, place) < best[:2]):
            best = (-quality, place, found)
    return best[2] if best else None


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _matches(media_range: str, media_type: str) -> bool:
    return media_range in ("", "*/*", media_type) or media_range == f"{media_type.partition('/')[0]}/*"
