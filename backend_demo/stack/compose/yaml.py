"""Writes a compose file: the part of YAML that the container forms need, with anchors and comments."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backend_demo.stack.services.container import Alias, Anchor, Note, Override

WIDTH = 120

#: Lines of an entry of the second level above which an empty line stands before it.
LONG = 3

#: Texts that mean themselves without quotes: within brackets, and on a line of their own.
_PLAIN_WITHIN = re.compile(r"(?:[\w/.$]|-(?=[\w-]))(?:[\w/.$@+=~()%;*-]|:(?=[\w/$]))*", re.ASCII)
_PLAIN = re.compile(r"(?:[\w/.$]|-(?=[\w-]))(?:[\w/.$@+=~()%;*{},\[\]'\"-]|:(?=[\w/$-])| (?=[\w/$.-]))*", re.ASCII)

#: Plain texts that YAML, of either version, takes for something else.
_NOT_TEXT = re.compile(
    r"(?i)true|false|yes|no|on|off|y|n|null|~|\.inf|\.nan|[-+.]?[\d._:-]+(e[-+]?\d+)?|0x[\da-f]+|<<|="
)


def document(mapping: Mapping[str, Any], header: str = "") -> str:
    """A file: the comment at its head, then the mapping, with an empty line before each of its larger values."""
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    for key, value in mapping.items():
        entry = list(_entry(key, value, 0))
        lines += ["", *entry] if lines and len(entry) > 1 else entry
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Any, indent: int) -> Iterator[str]:
    """The lines of one entry of a mapping."""
    if isinstance(value, Note):
        yield from _comment(value.comment, indent)
        value = value.value
    yield from _valued(f"{_scalar(key)}:", value, indent, indent + 2)


def _item(value: Any, indent: int) -> Iterator[str]:
    """The lines of one item of a list."""
    if isinstance(value, Note):
        yield from _comment(value.comment, indent)
        value = value.value
    if isinstance(value, str) and len(_scalar(value)) + indent + 2 > WIDTH:
        yield from _long("-", value, indent, indent + 2)
    elif isinstance(value, str):
        yield " " * indent + f"- {_scalar(value)}"
    else:
        yield " " * indent + f"- {_flow(value)}"


def _valued(head: str, value: Any, indent: int, inner: int) -> Iterator[str]:
    """The lines of a value behind its key."""
    if isinstance(value, Anchor):
        yield from _valued(f"{head} &{value.name}", value.value, indent, inner)
    elif isinstance(value, Override):
        yield from _valued(f"{head} !override", value.value, indent, inner)
    elif _is_short(value, indent + len(head) + 1):
        shown = _flow(value) if isinstance(value, Mapping | list | tuple) else _scalar(value)
        yield " " * indent + f"{head} {shown}".rstrip()
    elif isinstance(value, Mapping):
        yield " " * indent + head
        for number, (key, each) in enumerate(value.items()):
            entry = list(_entry(key, each, inner))
            if number and not indent and len(entry) > LONG:
                yield ""
            yield from entry
    elif isinstance(value, str):
        yield from _long(head, value, indent, inner)
    else:
        yield " " * indent + head
        for each in value:
            yield from _item(each, inner)


def _is_short(value: Any, column: int) -> bool:
    """Whether a value stands on the line of its key."""
    if isinstance(value, Mapping):
        (only,) = value.values() if len(value) == 1 else (value,)
        return not value or not isinstance(only, Mapping | list | tuple | Note | Anchor | Override)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return not any(isinstance(each, Note | Mapping) for each in value) and column + len(_flow(value)) <= WIDTH
    return not isinstance(value, str) or column + len(_scalar(value)) <= WIDTH


def _flow(value: Any) -> str:
    """A value on one line, within brackets."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key, _PLAIN_WITHIN)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value, _PLAIN_WITHIN)


def _scalar(value: Any, plain: re.Pattern[str] = _PLAIN) -> str:
    if value is None:
        return "" if plain is _PLAIN else "null"
    if isinstance(value, Alias):
        return f"*{value.name}"
    if isinstance(value, bool | int):
        return json.dumps(value)
    if value == "<<" or (plain.fullmatch(value) and not _NOT_TEXT.fullmatch(value)):
        return str(value)
    return f"'{value}'" if '"' in value and value.isprintable() and "'" not in value else json.dumps(value)


def _long(head: str, value: str, indent: int, inner: int) -> Iterator[str]:
    """A long text, over several lines where its spaces allow it."""
    lines = textwrap.wrap(value, WIDTH - inner, break_long_words=False, break_on_hyphens=False)
    if " ".join(lines) == value:
        yield " " * indent + f"{head} >-"
        yield from (" " * inner + line for line in lines)
    else:
        yield " " * indent + f"{head} {_scalar(value)}"


def _comment(text: str, indent: int) -> Iterator[str]:
    for line in textwrap.wrap(text, WIDTH - indent - 2, break_long_words=False, break_on_hyphens=False):
        yield " " * indent + f"# {line}"
