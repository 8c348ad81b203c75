"""A service's name decides nothing outside the files of that service: what depends on it is a field of `Service`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import backend_demo
from backend_demo.cli.run import OURS as NAMED_IN_HELP
from backend_demo.stack.services.table import OURS, every_service

PACKAGE = Path(backend_demo.__file__).parent
NAMES = set(every_service())

#: Where services are described.
DESCRIBED = ("stack/services/",)

#: What may depend on a name elsewhere, and why.
ALLOWED = {
    "cli/bench/plan.py": "`mqtt` is a part of the bench",
    "cli/bench/run.py": "`mqtt` is a part of the bench; it measures the servers before the raw topic",
    "operations/bench/costs.py": "only PostgreSQL's processes fork while they are measured",
    "operations/bench/mqtt.py": "the bench's own path starts at the proxy",
    "operations/bench/stock.py": "the servers that stock Faust shares with ours",
    "stack/state/directory.py": "`bridge` is a value of mqtt_source",
}

MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def is_name(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value in NAMES


def holds_name(node: ast.AST) -> bool:
    return is_name(node) or (isinstance(node, ast.Tuple | ast.List | ast.Set) and any(map(is_name, node.elts)))


def decisions(tree: ast.AST) -> Iterator[int]:
    """The lines at which a service's name is compared, is a key, or is matched."""
    for node in ast.walk(tree):
        if (
            (isinstance(node, ast.Compare) and any(map(holds_name, (node.left, *node.comparators))))
            or (isinstance(node, ast.Dict) and any(map(is_name, node.keys)))
            or (isinstance(node, ast.Subscript) and is_name(node.slice))
            or (isinstance(node, ast.MatchValue) and is_name(node.value))
        ):
            yield getattr(node, "lineno", getattr(node, "value", node).lineno)


def is_described_by(module: str) -> bool:
    """Whether a module belongs to a service."""
    own = {each.entry_point.removeprefix("backend_demo.").replace(".", "/") for each in every_service().values()}
    return module.startswith(DESCRIBED) or module.removesuffix(".py") in own or module.startswith("gateway/")


@pytest.mark.parametrize("module", [module for module in MODULES if not is_described_by(module)])
def test_no_decision_depends_on_a_name(module: str) -> None:
    found = list(decisions(ast.parse((PACKAGE / module).read_text())))
    assert bool(found) == (module in ALLOWED), f"lines {found}"


def test_the_help_of_run_names_our_services() -> None:
    """It does not import the table, which would make every `--help` slower."""
    assert NAMED_IN_HELP == OURS


@pytest.mark.parametrize(
    "text", ['x == "kafka"', 'x in ("kafka", "y")', '{"loader": 1}', 'x["gateway"]', 'match x:\n case "mqtt":\n  pass']
)
def test_what_is_found(text: str) -> None:
    assert list(decisions(ast.parse(text)))
