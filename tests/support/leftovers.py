"""What a stack leaves behind on the machine: processes, containers, ports, files."""

from __future__ import annotations

import os

import psutil

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.compose import containers as compose_containers
from backend_demo.stack.compose.project import Project
from backend_demo.stack.services import prometheus
from backend_demo.stack.services.table import SERVICES
from backend_demo.stack.state.directory import StateDirectory
from tests.support.engine import LEFT_OUT
from tests.support.ports import listens
from tests.support.services import asked_for


def leftovers(settings: Settings, stack: Stack) -> list[str]:
    """What is still there of a stack that is down."""
    state = StateDirectory(settings.state_dir)
    files = [*state.locks_folder.glob("*"), *state.sockets.glob("**/*"), *state.path.glob("**/*.pid")]
    return [
        *(f"process {process}" for process in processes_of(settings)),
        *(f"container {container}" for container in containers_of(settings)),
        *(f"port {port}" for port in ports_of(settings) if listens(port)),
        *(f"file {file}" for file in files),
        *(f"record {state.stack_file}" for _ in [0] if state.stack_file.exists()),
    ]


def processes_of(settings: Settings) -> list[psutil.Process]:
    """Every process that names the state directory in its command line, or has it in its environment."""
    name, found = str(settings.state_dir), []
    for process in psutil.process_iter():
        try:
            said = [*process.cmdline(), process.environ().get("SUPERVISOR_SERVER_URL", "")]
        except (psutil.Error, OSError):
            continue
        if process.pid != os.getpid() and any(name in word for word in said):
            found.append(process)
    return found


def containers_of(settings: Settings) -> list[str]:
    """Every container of the state directory's compose project, running or not."""
    if settings.stack != "compose":
        return []
    return list(compose_containers.of_project(Project(StateDirectory(settings.state_dir)).name))


def ports_of(settings: Settings) -> list[int]:
    """The ports of this machine that the stack's services listen on."""
    inside = {"kafka_controller_port"} if settings.stack == "compose" else set()
    found = [port for name in names_in(settings) if name in SERVICES for port in SERVICES[name].listens]
    wanted = [port.setting for port in found if port.setting and (not port.network or settings.listen)]
    return [getattr(settings, setting) for setting in wanted if setting not in inside]


def names_in(settings: Settings) -> list[str]:
    """The services that the stack's `up` has started."""
    missing = [*LEFT_OUT]
    if settings.stack == "embedded" and not prometheus.installed():
        missing.append("prometheus")
    return [name for name in asked_for(settings) if name not in missing]
