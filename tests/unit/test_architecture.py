"""Rules of the structure: no long file, no name with two meanings, and every module says what it is for."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import backend_demo

PACKAGE = Path(backend_demo.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(path for path in (PACKAGE / "gateway" / "console_static").glob("*.js"))

#: Lines after which a file has more than one reason to exist.
LONGEST = 300

#: The JSON document that a command prints is a type of that command's module, and is used nowhere else.
LOCAL = {"Document"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=name_of)
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text or path.stat().st_size == 0


def types_in(path: Path) -> Iterator[str]:
    """The names of the classes and type aliases of a module."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
            yield from (
                t.id for t in node.targets if isinstance(t, ast.Name) and t.id[:1].isupper() and not t.id.isupper()
            )


def test_no_type_name_has_two_meanings() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for name in types_in(path):
            if not name.startswith("_") and name not in LOCAL:
                places[name].append(name_of(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_an_exception_to_a_security_rule_says_why(path: Path) -> None:
    """`# noqa: S...` (ruff's rules of bandit) ends in a reason."""
    found = [line.strip() for line in path.read_text().splitlines() if re.search(r"noqa: S\d", line)]
    assert [line for line in found if not re.search(r"# noqa: S\d+(, S\d+)* - \w", line)] == []
