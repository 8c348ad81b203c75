"""The forms of an answer of rows: which one a request wants, and how rows become text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec
from typing_extensions import TypeIs

TextName = Literal["json", "csv", "ndjson"]
ColumnarName = Literal["parquet", "arrow"]
Name = Literal["json", "csv", "ndjson", "parquet", "arrow"]


@dataclass(frozen=True)
class Form:
    """How rows become text: `head`, the rows with `between` in between, `last` behind them if there are any, `tail`."""

    media_type: str
    row: str
    """With %r for each column: repr() gives a float exactly, and takes a third of the time of an encoder of dicts."""
    head: str = ""
    between: str = ""
    last: str = ""
    tail: str = ""

    @property
    def literals(self) -> list[str]:
        """What stands before, between and behind the columns of a row."""
        return self.row.split("%r")

    def encode(self, rows: Sequence[Sequence[Any]]) -> str:
        """The text of these rows: all of them, without head and tail."""
        return self.between.join([self.row % tuple(row) for row in rows]) + (self.last if rows else "")

    def document(self, rows: Sequence[Sequence[Any]]) -> str:
        """An answer of no other rows."""
        return self.head + self.encode(rows) + self.tail


def form(
    name: TextName, array: str, columns: Sequence[str], *, following: str | None = None, **members: object
) -> Form:
    """The form of rows with these columns.

    `array`: what a JSON document calls its rows. Its other members are the cursor of the next page, and these.
    """
    if name == "csv":
        media_type, head = "text/csv; charset=utf-8; header=present", ",".join(columns) + "\r\n"
        return Form(media_type, ",".join(["%r"] * len(columns)), head, "\r\n", "\r\n")
    row = "{" + ",".join(f'"{column}":%r' for column in columns) + "}"
    if name == "ndjson":
        return Form("application/x-ndjson", row, "", "\n", "\n")
    end = msgspec.json.encode({"truncated": following is not None, "next": following, **members}).decode()
    return Form("application/json", row, f'{{"{array}":[', ",", "", f"],{end[1:]}")


class Lines:
    """Lines that come cut anywhere, as the rows of a form."""

    def __init__(self, form: Form) -> None:
        self._between, self._last, self._tail = form.between.encode(), form.last.encode(), form.tail.encode()
        self._text = form.head.encode()
        """What goes before the next piece."""
        self._any = False
        self._line_end = b""
        """Of the last row so far, when it is complete: it becomes `between`, or `last`."""

    async def feed(self, data: bytes) -> bytes:
        """The text of what has come."""
        self._any = True
        data = self._line_end + data
        self._line_end = b"\n" if data.endswith(b"\n") else b""
        if self._line_end:
            data = data[:-1]
        head, self._text = self._text, b""
        return head + data.replace(b"\n", self._between)

    async def end(self) -> bytes:
        """What goes behind all rows."""
        return self._text + (self._last if self._any else b"") + self._tail


#: By media type, the first being what is given to a client that takes anything.
MEDIA_TYPES: dict[str, Name] = {
    "application/json": "json",
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.stream": "arrow",
}


def is_columnar(name: Name) -> TypeIs[ColumnarName]:
    """Whether the form is one of columns; otherwise it is one of text."""
    return name in get_args(ColumnarName)


def accepted(header: str) -> Name | None:
    """The form that a request's `Accept` prefers (RFC 9110, 12.5.1); None: it takes none of ours."""
    best: tuple[float, int, Name] | None = None
    for place, entry in enumerate(header.split(",")):
        media_range, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = quality_of(parameters)
        found = next((form for media_type, form in MEDIA_TYPES.items() if _matches(media_range, media_type)), None)
        if found is not None and quality > 0 and (best is None or (-quality, place) < best[:2]):
            best = (-quality, place, found)
    return best[2] if best else None


def quality_of(parameters: Sequence[str]) -> float:
    """The `q` among the parameters of an element of `Accept` or `Accept-Encoding`; 0: not wanted, or not understood."""
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
