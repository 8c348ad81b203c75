"""Running stacks of every kind, and a look at what they leave behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from backend_demo.settings import Settings
from backend_demo.stack import compose_containers
from backend_demo.stack.base import Stack
from backend_demo.stack.compose_project import Project
from backend_demo.stack.open import open_stack
from backend_demo.stack.servers import prometheus
from backend_demo.stack.services import SERVICES, services_of
from backend_demo.stack.state import StateDirectory
from backend_demo.testing import running_stack
from tests.engine import LEFT_OUT, needs_engine

Running = tuple[Settings, Stack]


@pytest.fixture(scope="session", params=["embedded", pytest.param("compose", marks=needs_engine)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def running(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("contract") / "state"
    with running_stack(folder, stack=kind, without=LEFT_OUT) as found:
        yield found
    assert leftovers(*found) == []
    found[1].down(wipe=True)
    assert not folder.exists()


@pytest.fixture
def settings(running: Running) -> Settings:
    return running[0]


@pytest.fixture
def stack(running: Running) -> Iterator[Stack]:
    """The session's stack, all of it ready before and after the test."""
    yield running[1]
    running[1].up((), lambda status: None, without=LEFT_OUT)


@pytest.fixture
def small(kind: str, tmp_path: Path) -> Iterator[Callable[[], Running]]:
    """Makes a second stack, with the quick servers only; it is gone when the test ends."""
    opened: list[Running] = []

    def start() -> Running:
        configured = Settings(state_dir=tmp_path / "small", stack=kind)
        stack = open_stack(configured, any_port=True)
        stack.up(("mqtt", "postgres"), lambda status: None)
        opened.append((StateDirectory(configured.state_dir).attached(configured), stack))
        return opened[-1]

    yield start
    for _, stack in opened:
        stack.down(wipe=True)


def leftovers(settings: Settings, stack: Stack) -> list[str]:
    """What is still there of a stack that is down."""
    state = StateDirectory(settings.state_dir)
    files = [*state.locks.glob("*"), *state.sockets.glob("**/*"), *state.path.glob("**/*.pid")]
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
    """Where the stack's services listen on this machine."""
    inside = {"kafka_controller_port", "nats_port"} if settings.stack == "compose" else set()
    found = [SERVICES[name] for name in names_in(settings) if name in SERVICES]
    return [getattr(settings, port) for service in found for port in service.ports if port not in inside]


def names_in(settings: Settings) -> list[str]:
    """The services that the stack's `up` has started."""
    missing = [*LEFT_OUT]
    if settings.stack == "embedded" and not prometheus.installed():
        missing.append("prometheus")
    return [name for name in services_of(settings.stack) if name not in missing]


def listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex(("127.0.0.1", port)) == 0


def pid_of(stack: Stack, name: str) -> int:
    pid = next(status.pid for status in stack.status() if status.name == name)
    assert pid is not None
    return pid


def eventually(condition: Callable[[], bool], limit_s: float = 60) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + limit_s
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return met


def state_of(stack: Stack, name: str) -> str:
    return next(status.state for status in stack.status() if status.name == name)


class Shell:
    """Runs `bdemo` as a user would."""

    def __init__(self, state_dir: Path, stack: str = "embedded") -> None:
        self.state_dir = state_dir
        self.stack = stack

    def __call__(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "backend_demo", *words, "--state-dir", str(self.state_dir)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "BDEMO_STACK": self.stack},
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
