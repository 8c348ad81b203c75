"""The forms of an answer of rows: JSON, CSV and NDJSON, made block by block. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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


def form(name: Name, array: str, columns: Sequence[str]) -> Form:
    """The form of rows with these columns; `array`: what a JSON document calls its rows."""
    # numbers need no quoting, and repr() gives a float exactly: a third of the time of an encoder that is given dicts
    fields = ",".join(f'"{column}":%r' for column in columns)
    document = "{" + fields + "}"
    if name == "csv":
        line = ",".join(["%r"] * len(columns)) + "\r\n"
        head = ",".join(columns) + "\r\n"
        return Form("text/csv; charset=utf-8; header=present", partial(_joined, "", line), head)
    if name == "ndjson":
        return Form("application/x-ndjson", partial(_joined, "", document + "\n"))
    return Form("application/json", partial(_joined, ",", document), f'{{"{array}":[', ",", end_of_json(None))


def _joined(between: str, row_format: str, rows: Sequence[Sequence[float]]) -> str:
    return between.join([row_format % tuple(row) for row in rows])


def end_of_json(following: str | None) -> str:
    """The end of a JSON document of rows; `following`: the cursor of the next page."""
    return f'],"truncated":true,"next":"{following}"}}' if following else '],"truncated":false,"next":null}'


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
