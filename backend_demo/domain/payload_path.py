"""A path to a value in a decoded payload: `SI7021.Temperature`, `params.temperature:0.tC`, `*.Temperature`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


class PathProblem(ValueError):
    """The payload has no value under a path, or several."""


class PayloadPath:
    """Keys with dots between; a number is an index in a list, `*` any key or index.

    Raises ValueError for a text that is no path.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = text.split(".")
        if not all(self._parts):
            raise ValueError(f"invalid path {text!r}, expected for example 'SI7021.Temperature'")

    def find(self, document: Any) -> Any:
        """The value. Raises PathProblem when there is none, or several behind a `*`."""
        found = list(_walk(document, self._parts))
        if not found:
            raise PathProblem(f"no {self.text!r} in the payload")
        if len(found) > 1:
            raise PathProblem(f"{len(found)} values under {self.text!r}: the mapping must name one")
        return found[0]


def _walk(document: Any, parts: list[str]) -> Iterator[Any]:
    if not parts:
        yield document
        return
    for inner in _step(document, parts[0]):
        yield from _walk(inner, parts[1:])


def _step(document: Any, part: str) -> Iterable[Any]:
    if isinstance(document, dict):
        return document.values() if part == "*" else [document[part]] if part in document else ()
    if isinstance(document, list):
        if part == "*":
            return document
        return document[int(part) : int(part) + 1] if part.isascii() and part.isdecimal() else ()
    return ()
