"""Running stacks of every kind, which leave nothing behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.open import open_stack
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.secrets import KAFKA_ADMIN
from backend_demo.testing import running_stack
from tests.support.engine import LEFT_OUT, needs_engine
from tests.support.leftovers import leftovers

Running = tuple[Settings, Stack]


class ByStack(LoadScopeScheduling):
    """Gives each kind of stack to one worker of pytest-xdist, and each module that brings up others."""

    def _split_scope(self, nodeid: str) -> str:
        module, _, test = nodeid.partition("::")
        kind = re.search(r"\[.*\b(embedded|compose)\b", test)
        return kind[1] if kind else module


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByStack:
    return ByStack(config, log)


@pytest.fixture(scope="session", params=["embedded", pytest.param("compose", marks=needs_engine)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def running(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("contract") / "state"
    try:
        with running_stack(folder, stack=kind, without=LEFT_OUT) as found:
            yield found
        assert leftovers(*found) == []
    finally:  # also the volumes of a stack that did not come up
        open_stack(Settings(state_dir=folder, stack=kind)).down(wipe=True)
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
    """Makes a second stack, with the quickest server only; it is gone when the test ends."""
    opened: list[Running] = []

    def start() -> Running:
        configured = Settings(state_dir=tmp_path / "small", stack=kind)
        stack = open_stack(configured, any_port=True)
        stack.up(("postgres",), lambda status: None)
        opened.append((StateDirectory(configured.state_dir).attached(configured, kafka=KAFKA_ADMIN), stack))
        return opened[-1]

    yield start
    for _, stack in opened:
        stack.down(wipe=True)
