"""The pins: every Python package that is installed has a version and hashes, wherever it is installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
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


@pytest.mark.parametrize("path", ["install.sh", "compose/Dockerfile", "noxfile.py"])
def test_every_installation_checks_hashes(path: str) -> None:
    """Or installs no dependencies, or a wheel that was built here, at the versions of requirements.txt."""
    text = (ROOT / path).read_text().replace("\\\n", "")
    found = re.findall(r"^.*(?:pip install|session\.install\().*$", text, flags=re.MULTILINE)
    assert found
    for line in found:
        for command in re.split("&&", line):
            if re.search(r"pip install|session\.install", command):
                assert re.search(r"--require-hashes|--no-deps|\(wanted, .*REQUIREMENTS", command), command


def test_uv_installs_nothing_by_itself() -> None:
    """`uv run` would resolve and install, and check no hashes."""
    assert PROJECT["tool"]["uv"] == {"managed": False}


@pytest.mark.parametrize("path", ["compose/requirements.txt", "compose/uv.txt"])
def test_the_image_is_made_of_pinned_packages(path: str) -> None:
    text = (ROOT / path).read_text()
    pins = re.findall(r"^([A-Za-z0-9].*?) \\$", text, flags=re.MULTILINE)
    assert pins
    assert len(re.findall(r"^\S+==.* \\\n    --hash=sha256:", text, flags=re.MULTILINE)) == len(pins)
    assert "://" not in text


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    pinned = {(pin := Requirement(text)).name: next(iter(pin.specifier)).version for text in PINS}
    declared = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
    for requirement in map(Requirement, declared):
        assert requirement.specifier.contains(pinned[requirement.name], prereleases=True), requirement
