"""Every call in the package that logs: constant events with keys, one set-up."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import backend_demo
from backend_demo.log_event import FIELDS

PACKAGE = Path(backend_demo.__file__).parent


LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def calls() -> Iterator[tuple[str, ast.Call, ast.Attribute]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node, node.func


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    for place, call, function in calls():
        if isinstance(function.value, ast.Name) and function.value.id == "log" and function.attr in LEVELS:
            yield place, call


def test_every_event_is_a_constant_with_keys() -> None:
    """So that events can be counted and searched for; what varies is in the keys."""
    found = dict(log_calls())
    assert len(found) > 20
    wrong = [
        place
        for place, call in found.items()
        if len(call.args) != 1 or not isinstance(call.args[0], ast.Constant) or not isinstance(call.args[0].value, str)
    ]
    assert wrong == []


def test_no_key_is_named_like_a_field() -> None:
    wrong = [
        f"{place} {keyword.arg}"
        for place, call in log_calls()
        for keyword in call.keywords
        if keyword.arg in FIELDS or keyword.arg is None
    ]
    assert wrong == []


def test_logging_is_set_up_in_one_place() -> None:
    setters = {"basicConfig", "dictConfig", "fileConfig", "setLevel", "addHandler", "setFormatter", "captureWarnings"}
    wrong = [
        place
        for place, call, function in calls()
        if function.attr in setters and "NullHandler" not in ast.dump(call) and not place.startswith("log.py:")
    ]
    assert wrong == []
