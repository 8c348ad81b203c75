"""Formats of answers made of rows: which one a request prefers, and how rows become text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec
from typing_extensions import TypeIs

from backend_demo.gateway.edge.accept import preferences

TextFormatName = Literal["json", "csv", "ndjson"]
ColumnarFormatName = Literal["parquet", "arrow"]
FormatName = Literal["json", "csv", "ndjson", "parquet", "arrow"]


@dataclass(frozen=True)
class TextFormat:
    """How rows become text: `head`, the rows joined by `between`, then `last` if there are any, then `tail`."""

    media_type: str
    row: str
    """A template with %r for each column: repr() gives a float exactly, in a third of the time of encoding dicts."""
    head: str = ""
    between: str = ""
    last: str = ""
    tail: str = ""

    @property
    def literals(self) -> list[str]:
        """The text before, between and after the columns of a row."""
        return self.row.split("%r")

    def encode(self, rows: Sequence[Sequence[Any]]) -> str:
        """The text of these rows, all there are, without head and tail."""
        return self.between.join([self.row % tuple(row) for row in rows]) + (self.last if rows else "")

    def document(self, rows: Sequence[Sequence[Any]]) -> str:
        """A whole answer of these rows."""
        return self.head + self.encode(rows) + self.tail


def form(
    name: TextFormatName, array: str, columns: Sequence[str], *, following: str | None = None, **members: object
) -> TextFormat:
    """The text format of rows with these columns.

    `array`: the name of the rows in a JSON document. `following`: the cursor of the next page. `members`: its further
    members.
    """
    if name == "csv":
        media_type, head = "text/csv; charset=utf-8; header=present", ",".join(columns) + "\r\n"
        return TextFormat(media_type, ",".join(["%r"] * len(columns)), head, "\r\n", "\r\n")
    row = "{" + ",".join(f'"{column}":%r' for column in columns) + "}"
    if name == "ndjson":
        return TextFormat("application/x-ndjson", row, "", "\n", "\n")
    end = msgspec.json.encode({"truncated": following is not None, "next": following, **members}).decode()
    return TextFormat("application/json", row, f'{{"{array}":[', ",", "", f"],{end[1:]}")


class LineEncoder:
    """Encodes lines, which arrive in arbitrary pieces, as the rows of a text format."""

    def __init__(self, form: TextFormat) -> None:
        self._between, self._last, self._tail = form.between.encode(), form.last.encode(), form.tail.encode()
        self._text = form.head.encode()
        """What precedes the next piece."""
        self._any = False
        self._line_end = b""
        """The line end of the last row so far, if complete: it becomes `between` or `last`."""

    async def feed(self, data: bytes) -> bytes:
        """The text of this piece."""
        self._any = True
        data = self._line_end + data
        self._line_end = b"\n" if data.endswith(b"\n") else b""
        if self._line_end:
            data = data[:-1]
        head, self._text = self._text, b""
        return head + data.replace(b"\n", self._between)

    async def end(self) -> bytes:
        """What follows the rows."""
        return self._text + (self._last if self._any else b"") + self._tail


#: Formats by media type; the first is for clients that accept anything.
MEDIA_TYPES: dict[str, FormatName] = {
    "application/json": "json",
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.stream": "arrow",
}


def is_columnar(name: FormatName) -> TypeIs[ColumnarFormatName]:
    """Whether the form is one of columns; otherwise it is one of text."""
    return name in get_args(ColumnarFormatName)


def accepted(header: str) -> FormatName | None:
    """The format that a request's `Accept` prefers (RFC 9110, 12.5.1); None if it accepts none of ours."""
    best: tuple[float, int, FormatName] | None = None
    for place, (media_range, quality) in enumerate(preferences(header)):
        found = next((form for media_type, form in MEDIA_TYPES.items() if _matches(media_range, media_type)), None)
        if found is not None and quality > 0 and (best is None or (-quality, place) < best[:2]):
            best = (-quality, place, found)
    return best[2] if best else None


def _matches(media_range: str, media_type: str) -> bool:
    return media_range in ("", "*/*", media_type) or media_range == f"{media_type.partition('/')[0]}/*"
