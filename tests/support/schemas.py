"""Compares what a command printed with the published JSON Schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs

from backend_demo.cli.schemas import ERROR, LINES, file_name

SCHEMAS = Path(__file__).parents[2] / "docs" / "reference" / "schemas"


def check(document: dict[str, Any]) -> dict[str, Any]:
    """Returns the document if it is what its `schema` says, without unknown fields; an error has no `schema`."""
    return check_as(document.get("schema", ERROR), document)


def check_as(name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Returns the document if it fits that schema. Raises jsonschema_rs.ValidationError."""
    schema = json.loads((SCHEMAS / file_name(name)).read_text())
    if name not in LINES:  # a line of a log has keys of its own
        schema["additionalProperties"] = False
    jsonschema_rs.validator_for(schema).validate(document)
    return document
