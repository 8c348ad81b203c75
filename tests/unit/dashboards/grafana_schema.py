"""Whether a dashboard's JSON is what Grafana's schema says, by the library that Grafana generates from it."""

from __future__ import annotations

import enum
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

plugins.register_default_plugins()


def problems(dashboard: dict[str, Any]) -> list[str]:
    """What is unknown to the schema, and what is of a wrong type."""
    parsed = Dashboard.from_json(dashboard)
    again = json.loads(json.dumps(parsed, cls=JSONEncoder))
    return [*_differences(dashboard, again, "$"), *_mismatches(parsed, Dashboard, "$")]


def _differences(given: Any, known: Any, path: str) -> Iterator[str]:
    """What was lost on the way through the library: it keeps only what its schema knows."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key in sorted(given.keys() | known.keys()):
            yield from _differences(given.get(key), known.get(key), f"{path}.{key}")
    elif isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        for position, (one, other) in enumerate(zip(given, known, strict=True)):
            yield from _differences(one, other, f"{path}[{position}]")
    elif given != known:
        yield f"{path}: {given!r} is {known!r} by the schema"


def _mismatches(value: Any, hint: Any, path: str) -> Iterator[str]:
    """Where a value is not of the type that the schema says; the library itself takes any."""
    if hint is Any or hint is object:
        hint = type(value)  # what a kind of panel has of its own: the library has read it by its kind
        if not hasattr(hint, "from_json"):
            return
    arguments = typing.get_args(hint)
    match typing.get_origin(hint) or hint:
        case typing.Union | types.UnionType:
            rest = [one for one in arguments if one is not type(None)]
            if value is None and len(rest) < len(arguments):
                return
            found = [list(_mismatches(value, one, path)) for one in rest]
            if all(found):
                yield from min(found, key=len)
        case typing.Literal:
            if value not in arguments:
                yield f"{path}: {value!r} is none of {arguments}"
        case kind if kind is list or kind is dict:
            if not isinstance(value, kind):
                yield f"{path}: {value!r} is no {kind.__name__}"
                return
            items = enumerate(value) if kind is list else value.items()
            for key, item in items:
                yield from _mismatches(item, arguments[-1], f"{path}[{key!r}]")
        case kind if issubclass(kind, enum.Enum):
            if value not in list(kind):
                yield f"{path}: {value!r} is no {kind.__name__}"
        case kind if kind in (int, float, str, bool):
            wanted = (int, float) if kind is float else kind
            if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
                yield f"{path}: {value!r} is no {kind.__name__}"
        case kind:
            if isinstance(value, dict) and hasattr(kind, "from_json"):
                value = kind.from_json(value)  # the library leaves some parts as they came
            if not isinstance(value, kind):
                yield f"{path}: {value!r} is no {kind.__name__}"
                return
            hints = typing.get_type_hints(type(value))
            for name in vars(value).keys() & hints.keys():
                yield from _mismatches(getattr(value, name), hints[name], f"{path}.{name}")
