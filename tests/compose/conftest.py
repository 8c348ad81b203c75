"""Stacks of containers, used as a user would: by commands."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend_demo.stack.compose import containers as compose_containers
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.compose.containers import Container
from backend_demo.stack.compose.stack import ComposeStack
from tests.support.engine import LEFT_OUT
from tests.support.shell import Shell

WITHOUT = tuple(f"--without={name}" for name in LEFT_OUT)


class Bdemo:
    """Runs `bdemo` on one stack of containers, and looks at them."""

    def __init__(self, state_dir: Path, profiles: tuple[str, ...] = ()) -> None:
        self.stack = ComposeStack(state_dir)
        self.profiles = profiles
        self._shell = Shell(state_dir, "compose")

    def __call__(self, *words: str, code: int = 0, limit_s: float = 240, **environment: str) -> str:
        """Its output: stdout, or stderr when it is expected to fail."""
        done = self._shell(*words, code=code, timeout_s=limit_s, **environment)
        return done.stdout if code == 0 else done.stderr

    def command(self, *words: str) -> list[str]:
        return self._shell.command(*words)

    def up(self, *words: str, **more: object) -> str:
        profiles = [f"--profile={profile}" for profile in self.profiles]
        return self("up", "--any-port", *WITHOUT, *profiles, *words, **more)  # type: ignore[arg-type]

    def containers(self) -> dict[str, Container]:
        return compose_containers.of_project(self.stack.project.name)

    def volumes(self) -> list[str]:
        wanted = f"label={compose_containers.PROJECT}={self.stack.project.name}"
        return compose_docker.ask("volume", "ls", "-q", "--filter", wanted).split()

    def kill(self, *names: str) -> None:
        """`docker kill`: nothing gets a word in, and the engine does not start them again."""
        found = self.containers()
        compose_docker.ask("kill", *(found[name].id for name in names))

    def load(self, ledger: Path, rate: int = 10) -> Load:
        return Load(self, ledger, rate)


class Load:
    """Sensors that publish, some readings late, twice or broken, while a test does its worst."""

    def __init__(self, bdemo: Bdemo, ledger: Path, rate: int) -> None:
        self._bdemo, self._ledger = bdemo, ledger
        faults = ("--late", "0.1", "--duplicate", "0.05", "--corrupt", "0.02")
        words = ("simulate", "--sensors", "20", "--rate", str(rate), *faults, "--ledger", str(ledger))
        self._process = subprocess.Popen(
            bdemo.command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def acknowledged(self) -> int:
        """Readings that the broker has taken so far."""
        return self._ledger.read_text().count('"acked"') if self._ledger.exists() else 0

    def end(self) -> None:
        """Ends it, and verifies that every reading is there once, with its average."""
        self._process.send_signal(signal.SIGINT)
        _, said = self._process.communicate(timeout=120)
        assert self._process.returncode in (0, 130), said
        self._bdemo("verify", "--ledger", str(self._ledger), "--wait", "120s")


@pytest.fixture(scope="session")
def opened() -> Iterator[Callable[..., Bdemo]]:
    """Makes stacks that are wiped at the end."""
    made: list[Bdemo] = []

    def make(state_dir: Path, profiles: tuple[str, ...] = ()) -> Bdemo:
        made.append(Bdemo(state_dir, profiles))
        return made[-1]

    yield make
    for bdemo in made:
        bdemo("down", "--wipe")
        assert not bdemo.containers()
        assert not bdemo.volumes()
