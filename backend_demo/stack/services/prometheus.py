"""Prometheus: what it scrapes on both stacks; as a child process where it is installed, or as a container.

Its configuration is written even where it is not installed, so that a Prometheus of the user's can be started with it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend_demo.errors import PrerequisiteMissing
from backend_demo.places import compose_files
from backend_demo.stack.services import round_trip
from backend_demo.stack.services.container import HARDENED, default, folder, health
from backend_demo.stack.services.copies import STATS_PORT_STEP, copy_name, stats_port_of
from backend_demo.stack.services.service import Addresses, Port, Program, Service, Variable

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.stack.state.directory import StateDirectory

#: Its files, the same in a container; they name one another and the targets relative to where they are.
FILES = ("prometheus.yml", "rules.yml")

#: The file of targets, in a folder of its own.
TARGETS = "services.json"

#: The folder of targets on this machine, as the compose files name it.
CONTAINER_TARGETS = str(Variable("PROMETHEUS_TARGETS", "./prometheus/targets"))

#: How long it keeps its data.
RETENTION = "--storage.tsdb.retention.time=7d"

#: Niceness of the child process: it gives way to every stage of the pipeline.
NICENESS = 10


# -- as a child process


def installed() -> bool:
    """Whether its program is on PATH."""
    return shutil.which("prometheus") is not None


def check_installed() -> None:
    """Raises PrerequisiteMissing when it is not installed."""
    if not installed():
        raise PrerequisiteMissing(
            "Prometheus is not installed: no program prometheus is on PATH",
            hint="install it (Debian, Ubuntu: apt install prometheus), or use containers: bdemo up --stack compose",
        )


def prepare(settings: Settings, state: StateDirectory) -> Program:
    """Writes the configuration; returns the program that runs Prometheus, even where it is not installed."""
    folder = state.path / "prometheus"
    folder.mkdir(exist_ok=True, mode=0o700)
    for name in FILES:
        (folder / name).write_text((compose_files() / "prometheus" / name).read_text())
    command = (
        *("nice", "-n", str(NICENESS), shutil.which("prometheus") or "prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        *_retention("512MB"),
        f"--web.listen-address={round_trip.HOST}:{settings.prometheus_port}",
        "--log.level=warn",
    )
    return Program("prometheus", "servers", command)


def targets_folder(state: StateDirectory) -> Path:
    """The folder with the file of targets, in the embedded stack."""
    return state.path / "prometheus" / "targets"


def _programs(settings: Settings, state: StateDirectory, report: Callable[[str], None]) -> list[Program]:
    return [prepare(settings, state)]


def probe(number: int, addresses: Addresses, state: StateDirectory) -> bool:
    """GET /-/ready: it has read its data and answers queries."""
    return round_trip.get(addresses["prometheus_port"], "/-/ready")[0] == 200


def _retention(size: str) -> tuple[str, str]:
    """It keeps data until either limit is reached."""
    return RETENTION, f"--storage.tsdb.retention.size={size}"


def _addresses(saved: Addresses, state: StateDirectory, variables: Mapping[str, str]) -> dict[str, str]:
    return {"prometheus": f"http://127.0.0.1:{saved['prometheus_port']}"}


# -- targets


def targets(services: Iterable[tuple[Service, int]], address: Callable[[Service, int], str]) -> list[dict[str, Any]]:
    """Where all copies of services serve their metrics, in the form of a file of targets.

    `services`: each with the number of its copies. `address` says where a copy is reached. `job` and `instance` are the
    original's, so that its queries work; an instance is the name of a copy with its default port, and so stays when
    ports are shifted.
    """
    found = []
    for service, count in services:
        if not service.ours:
            continue
        job = service.job or service.name
        for number in range(1, count + 1):
            port = default(service.stats_port) + STATS_PORT_STEP * (number - 1)
            labels = {"job": job, "service": service.name, "instance": f"{copy_name(job, number)}:{port}"}
            found.append({"targets": [address(service, number)], "labels": labels})
    return found


def local_address(service: Service, number: int, addresses: Mapping[str, Any]) -> str:
    """Where a copy's metrics are in the embedded stack."""
    return f"127.0.0.1:{stats_port_of(service, number, addresses)}"


def container_address(service: Service, number: int) -> str:
    """Where a copy's metrics are among the containers: at its name, and on one port in each.

    Copies that share a port share a name too.
    """
    port = default(service.stats_port)
    if service.shares_port:
        return f"{service.name}:{port + STATS_PORT_STEP * (number - 1)}"
    return f"{copy_name(service.name, number)}:{port}"


def write_targets(folder: Path, found: list[dict[str, Any]]) -> None:
    """Writes the targets, all or nothing: Prometheus, which may run as another user, reads them at once."""
    folder.mkdir(exist_ok=True, parents=True)
    folder.chmod(0o755)
    temporary = folder / f"{TARGETS}.new"
    temporary.write_text(text_of(found))
    temporary.chmod(0o644)
    temporary.replace(folder / TARGETS)


def text_of(found: list[dict[str, Any]]) -> str:
    """The text of a file of targets, one per line."""
    return "[\n" + ",\n".join(f"  {json.dumps(entry)}" for entry in found) + "\n]\n"


# -- as a container


def _container() -> dict[str, Any]:
    port = default("prometheus_port")
    return {
        "<<": HARDENED,
        "image": f"prom/prometheus:{PROMETHEUS.variables[0]}",
        "command": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            *_retention("1GB"),
            "--log.level=warn",
        ],
        "volumes": [
            "prometheus-data:/prometheus",
            *(f"./prometheus/{name}:/etc/prometheus/{name}:ro" for name in FILES),
            folder(CONTAINER_TARGETS, "/etc/prometheus/targets"),
        ],
        "tmpfs": ["/tmp:size=16m"],  # noqa: S108 - in the container
        "mem_limit": "512m",
        "stop_grace_period": "30s",
        "healthcheck": health(
            ["CMD", "promtool", "query", "instant", f"http://127.0.0.1:{port}", "vector(1)"], interval="10s"
        ),
    }


PROMETHEUS = Service(
    name="prometheus",
    about="collects the metrics of every copy of every service",
    listens=(Port("prometheus_port", "PROMETHEUS_HOST_PORT"),),
    single="its data belong to a single process",
    optional=True,
    programs=_programs,
    check_installed=check_installed,
    probe=probe,
    addresses=_addresses,
    container=_container,
    variables=(Variable("PROMETHEUS_VERSION", "v3.5.0"),),
)
