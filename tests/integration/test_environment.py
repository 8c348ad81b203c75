"""A stack that is brought up, and used, from a shell full of variables that are not for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from backend_demo import environment
from backend_demo.stack.embedded import leftovers
from backend_demo.stack.embedded.stack import EmbeddedStack
from backend_demo.stack.state.directory import StateDirectory
from tests.support.hostile import HOSTILE
from tests.support.shell import Shell

SECRET = "a-password-that-no-environment-shows"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell with all of those variables, and a running stack without what no reading needs."""
    bdemo = Shell(tmp_path_factory.mktemp("stack") / "state")
    bdemo.variables = {**HOSTILE, "BDEMO_MQTT_PASSWORD": SECRET}
    try:
        said = bdemo("up", "--any-port", "--without", "prometheus", timeout_s=200).stderr
        assert ("the services run as root" in said) == (os.geteuid() == 0)
        yield bdemo
    finally:
        bdemo("down", "--wipe")


@pytest.fixture
def processes(hostile: Shell) -> dict[str, psutil.Process]:
    """The processes of the stack, by the names of their programs."""
    stack = EmbeddedStack(hostile.state_dir)
    supervisor = stack.supervisor.process()
    assert supervisor is not None
    return {**dict(leftovers.children_of(stack.supervisor.url)), "supervisor": supervisor}


def test_readings_arrive_and_every_command_works(hostile: Shell, tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger.jsonl")
    hostile("simulate", "--sensors", "3", "--count", "20", "--rate", "20", "--ledger", ledger)
    hostile("verify", "--ledger", ledger)
    hostile("query", "sql", "select count(*) from temperature")
    hostile("query", "latest")
    hostile("status")


def test_no_process_has_a_variable_that_is_not_for_it(processes: dict[str, psutil.Process]) -> None:
    known = {*environment.NAMES, *environment.FIXED}
    assert len(processes) >= 8
    for name, process in processes.items():
        found = {key for key in process.environ() if not key.startswith("SUPERVISOR_")}
        assert found <= known, name
        assert SECRET not in process.environ().values(), name


def test_no_process_dumps_its_memory(processes: dict[str, psutil.Process]) -> None:
    for name, process in processes.items():
        limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
        assert next(line.split()[4:6] for line in limits if line.startswith("Max core file size")) == ["1", "1"], name


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to lose")
def test_no_process_but_the_supervisor_has_a_right_of_roots(processes: dict[str, psutil.Process]) -> None:
    for name, process in processes.items():
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        found = {line.split()[0]: line.split()[1] for line in lines if line.startswith("Cap")}
        if name != "supervisor":
            assert {int(mask, 16) for mask in found.values()} == {0}, name


def test_another_up_hands_on_its_own_settings(hostile: Shell) -> None:
    hostile("up", BDEMO_MQTT_PASSWORD="another")
    assert StateDirectory(hostile.state_dir).handed_on.settings() == {"mqtt_password": "another"}


def test_root_is_warned_once(hostile: Shell) -> None:
    """When the stack came up, and not again."""
    assert "run as root" not in hostile("up").stderr
