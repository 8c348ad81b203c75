"""Pins Kafka's jars: resolves them as Maven does, downloads each once, and writes what `bdemo up` accepts.

Run it with `nox -s lock_jars`, after a change of Kafka's version or of PATCHED; then look at the difference.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from backend_demo.stack.services.kafka_jars import LIST, VERSION

#: What Kafka is, and that with which it logs. `!` keeps a bill of materials from deciding versions: it would put
#: kafka-clients 3.8 beside Kafka 4.
WANTED = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.26.1!")

#: Newer than Kafka asks for, as those versions have published vulnerabilities.
PATCHED = (
    "at.yawk.lz4:lz4-java:1.14.0!",  # CVE-2025-12183, CVE-2025-66566 and others
    "commons-beanutils:commons-beanutils:1.11.0!",  # CVE-2025-48734
    *(  # GHSA-72hv-8253-57qq; its modules have one version
        f"com.fasterxml.jackson.{module}:2.21.8!"
        for module in (
            "core:jackson-core",
            "core:jackson-databind",
            "dataformat:jackson-dataformat-csv",
            "dataformat:jackson-dataformat-yaml",
            "datatype:jackson-datatype-jdk8",
        )
    ),
    "com.fasterxml.jackson.core:jackson-annotations:2.21!",
)

#: What PATCHED replaces under another name.
REPLACED = {"org.lz4:lz4-java"}

#: The names of licences in Maven's descriptions, as SPDX writes them. A jar with another one is not pinned.
LICENCES = {
    **dict.fromkeys(
        (
            "Apache-2.0",
            "Apache 2.0 License",
            "Apache License 2.0",
            "Apache License, Version 2.0",
            "The Apache License, Version 2.0",
            "The Apache Software License, Version 2.0",
        ),
        "Apache-2.0",
    ),
    **dict.fromkeys(("MIT", "MIT License", "The MIT License"), "MIT"),
    **dict.fromkeys(("BSD 2-Clause License", "BSD-2-Clause"), "BSD-2-Clause"),
    "Go License": "BSD-3-Clause",
    "Public Domain, per Creative Commons CC0": "CC0-1.0",
}

HEADER = """\
# The jars of Kafka, made by `nox -s lock_jars`: SHA-256, bytes, Maven coordinate, licence. `bdemo up` runs no others.
"""


def main() -> None:
    """Writes the list."""
    from jgo.maven import MavenContext, PythonResolver

    with tempfile.TemporaryDirectory() as folder:
        resolver = PythonResolver()
        context = MavenContext(resolver=resolver, repo_cache=Path(folder))
        wanted, needed = resolver.resolve([context.create_dependency(name) for name in (*WANTED, *PATCHED)])
        found = [each.artifact for each in (*wanted, *(one for one in needed if one.scope in ("compile", "runtime")))]
        lines = [line(artifact) for artifact in found if f"{artifact.groupId}:{artifact.artifactId}" not in REPLACED]
    LIST.write_text(HEADER + "".join(sorted(lines, key=lambda line: line.split()[2])))


def line(artifact: Any) -> str:
    """What is known of one jar."""
    content = artifact.resolve().read_bytes()
    coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
    licence = " OR ".join(sorted({LICENCES[name] for name in licences(artifact.component.pom(), artifact.context)}))
    return f"{hashlib.sha256(content).hexdigest()} {len(content):>8} {coordinate} {licence}\n"


def licences(pom: Any, context: Any) -> list[str]:
    """The licences that a description names, or the nearest of its parents that names any."""
    while True:
        names = [(found.findtext("name") or "").strip() for found in pom.elements("licenses/license")]
        parents = pom.elements("parent")
        if names or not parents:
            return names
        group, artifact, version = (parents[0].findtext(part) for part in ("groupId", "artifactId", "version"))
        pom = context.project(group, artifact).at_version(version).pom()


if __name__ == "__main__":
    main()
