"""A decorator for values that other programs read: their attribute docstrings become descriptions in the schema."""

from __future__ import annotations

from typing import TypeVar

_T = TypeVar("_T")


def described(kind: type[_T]) -> type[_T]:
    """Marks a dataclass that is published as it is: pydantic, and so OpenAPI, takes descriptions from its docstrings.

    The schema says that every attribute is always there, also one with a default.
    """
    kind.__pydantic_config__ = {  # type: ignore[attr-defined]
        "use_attribute_docstrings": True,
        "json_schema_serialization_defaults_required": True,
    }
    return kind
