"""The pins: requirements.txt with hashes, and the same versions as constraints in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "requirements.txt").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = re.findall(r"^([A-Za-z0-9].*) \\$", TEXT, flags=re.MULTILINE)


def test_every_pin_has_hashes_and_no_registry_is_named() -> None:
    assert len(PINS) > 50
    assert all("==" in pin for pin in PINS)
    assert len(re.findall(r"^\S+==.* \\\n    --hash=sha256:", TEXT, flags=re.MULTILINE)) == len(PINS)
    assert not re.search(r"://|index-url|find-links", TEXT)


def test_the_constraints_are_the_pins() -> None:
    assert PROJECT["tool"]["uv"]["constraint-dependencies"] == PINS


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    pinned = {(pin := Requirement(text)).name: next(iter(pin.specifier)).version for text in PINS}
    declared = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
    for requirement in map(Requirement, declared):
        assert requirement.specifier.contains(pinned[requirement.name], prereleases=True), requirement
