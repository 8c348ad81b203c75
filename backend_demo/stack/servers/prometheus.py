"""Prometheus: what it scrapes on both stacks; its files and its program in the embedded one, where it is installed.

Its configuration is written either way, so that somebody's own Prometheus can be started with it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend_demo.errors import PrerequisiteMissing
from backend_demo.stack.compose_project import files
from backend_demo.stack.services import SERVICES, copy_name, copy_of, stats_port
from backend_demo.stack.state import StateDirectory
from backend_demo.stack.supervisor import Program

if TYPE_CHECKING:
    from backend_demo.settings import Settings

#: The same files as in the container; they name one another and the targets relative to where they are.
FILES = ("prometheus.yml", "rules.yml")

#: The file of targets, in a folder of its own.
TARGETS = "services.json"

#: What it keeps, whichever is less.
RETENTION = ("--storage.tsdb.retention.time=7d", "--storage.tsdb.retention.size=512MB")

#: It gives way to every stage of the pipeline.
NICENESS = 10

#: Jobs that the original calls otherwise than we call the service.
JOBS = {"loader": "load", "gateway": "api-gateway"}


def installed() -> bool:
    """Whether its program is on PATH."""
    return shutil.which("prometheus") is not None


def check_installed() -> None:
    """Raises PrerequisiteMissing."""
    if not installed():
        raise PrerequisiteMissing(
            "Prometheus is not installed: no program prometheus is on PATH",
            hint="install it (Debian, Ubuntu: apt install prometheus), or use containers: bdemo up --stack compose",
        )


def prepare(settings: Settings, state: StateDirectory) -> Program:
    """Writes the configuration; the program that runs Prometheus, also where there is none yet."""
    folder = state.path / "prometheus"
    folder.mkdir(exist_ok=True, mode=0o700)
    for name in FILES:
        (folder / name).write_text((files() / "prometheus" / name).read_text())
    command = (
        *("nice", "-n", str(NICENESS), shutil.which("prometheus") or "prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        *RETENTION,
        f"--web.listen-address=127.0.0.1:{settings.prometheus_port}",
        "--log.level=warn",
    )
    return Program("prometheus", "servers", command)


# -- targets


def targets(copies: Mapping[str, int], address: Callable[[str], str]) -> list[dict[str, Any]]:
    """Where so many copies of each service serve their metrics, in the form of a file of targets.

    `address` says where a copy is reached. `job` and `instance` are the original's, so that its queries work; an
    instance is a name, which stays when ports are shifted: that of the copy and of its default port.
    """
    from backend_demo.settings import Settings

    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    found = []
    for service, count in copies.items():
        if service not in SERVICES or not SERVICES[service].ours:
            continue
        job = JOBS.get(service, service)
        for number in range(1, count + 1):
            copy = copy_name(service, number)
            instance = f"{copy_name(job, number)}:{stats_port(copy, defaults)}"
            labels = {"job": job, "service": service, "instance": instance}
            found.append({"targets": [address(copy)], "labels": labels})
    return found


def local_address(copy: str, addresses: Mapping[str, Any]) -> str:
    """Where a copy's metrics are in the embedded stack."""
    return f"127.0.0.1:{stats_port(copy, addresses)}"


def container_address(copy: str) -> str:
    """Where a copy's metrics are among the containers: at its name, and on one port in each."""
    from backend_demo.settings import Settings

    return f"{copy}:{Settings.model_fields[f'{copy_of(copy)[0].name}_stats_port'].default}"


def write_targets(folder: Path, found: list[dict[str, Any]]) -> None:
    """Writes the targets, whole or not at all: Prometheus, maybe another user's process, reads them at once."""
    folder.mkdir(exist_ok=True, parents=True)
    folder.chmod(0o755)
    temporary = folder / f"{TARGETS}.new"
    temporary.write_text(text_of(found))
    temporary.chmod(0o644)
    temporary.replace(folder / TARGETS)


def text_of(found: list[dict[str, Any]]) -> str:
    """A file of targets, one a line."""
    return "[\n" + ",\n".join(f"  {json.dumps(entry)}" for entry in found) + "\n]\n"
