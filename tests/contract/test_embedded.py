"""What the embedded stack does when its supervisor, a hung process or a busy backend is in the way."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil
import pytest

from backend_demo.errors import ConfigurationInvalid, NoStack, PortInUse, ResourceInUse
from backend_demo.settings import Settings
from backend_demo.stack import logfiles, time_limits
from backend_demo.stack.embedded import stack as embedded
from backend_demo.stack.embedded.stack import EmbeddedStack
from backend_demo.stack.embedded.supervisor import Program, Supervisor
from backend_demo.stack.services.table import users
from backend_demo.stack.state.directory import StateDirectory
from tests.contract.conftest import Running
from tests.support.leftovers import leftovers, processes_of
from tests.support.services import pid_of, state_of
from tests.support.wait import eventually

Small = Callable[[], Running]


@pytest.fixture(scope="session")
def kind() -> str:
    return "embedded"


def kill_supervisor(settings: Settings) -> None:
    process = Supervisor(StateDirectory(settings.state_dir)).process()
    assert process is not None
    process.kill()
    process.wait(10)


def test_a_killed_supervisor_is_told_and_mended(small: Small) -> None:
    settings, stack = small()
    kill_supervisor(settings)
    found = {status.name: status for status in stack.status()}
    assert found["postgres"].state == "unhealthy"
    assert "supervisor was killed" in (found["postgres"].error or "")
    old = {process.pid for process in processes_of(settings)}
    settings, stack = small()
    assert state_of(stack, "postgres") == "ready"
    assert not old & {process.pid for process in processes_of(settings)}


def test_down_cleans_up_after_a_killed_supervisor(small: Small) -> None:
    settings, stack = small()
    kill_supervisor(settings)
    assert stack.down() is True
    assert leftovers(settings, stack) == []


def test_copies_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    """They are told, mended, and ended by `down`, as every service is."""
    stack = EmbeddedStack(tmp_path / "state", Settings(state_dir=tmp_path / "state"), any_port=True)
    copies = ("processing", "processing-2")
    try:
        stack.up(["processing"], lambda status: None, scale={"processing": 2})
        settings = stack.state.attached(Settings())
        before = {name: pid_of(stack, name) for name in copies}
        kill_supervisor(settings)
        assert {name: state_of(stack, name) for name in copies} == dict.fromkeys(copies, "unhealthy")
        stack.up(["processing"], lambda status: None)
        assert {name: state_of(stack, name) for name in copies} == dict.fromkeys(copies, "ready")
        assert not set(before.values()) & {process.pid for process in processes_of(settings)}
        kill_supervisor(settings)
        assert stack.down() is True
        assert leftovers(settings, stack) == []
    finally:
        stack.down()


def test_a_copy_whose_port_is_taken_is_told_before_anything_changes(small: Small) -> None:
    settings, stack = small()
    port = settings.collection_stats_port + 100
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortInUse, match=f"port {port} of collection-2"):
        stack.scale({"collection": 2}, lambda status: None)
    assert state_of(stack, "collection") == "off"


def test_down_ends_a_supervisor_that_hangs(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, stack = small()
    monkeypatch.setattr("backend_demo.stack.embedded.supervisor.CALL_LIMIT_S", 0.5)
    process = Supervisor(StateDirectory(settings.state_dir)).process()
    assert process is not None
    process.suspend()
    assert stack.down() is True
    assert leftovers(settings, stack) == []


def test_after_a_reboot_no_stack_runs(small: Small) -> None:
    """A record without a process: what a machine that lost its power finds."""
    settings, stack = small()
    record = StateDirectory(settings.state_dir).stack_file
    text = record.read_text()
    stack.down()
    record.write_text(text)
    with pytest.raises(NoStack):
        stack.status()
    settings, stack = small()
    assert state_of(stack, "postgres") == "ready"


def test_up_restarts_what_hangs(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    _, stack = small()
    stack.up(("mqtt",), lambda status: None)
    pid = pid_of(stack, "mqtt")
    os.kill(pid, signal.SIGSTOP)
    for name, value in (("PATIENCE_S", 0.0), ("HUNG_S", 1.0)):
        monkeypatch.setattr(time_limits, name, value)
    assert state_of(stack, "mqtt") == "unhealthy"
    stack.up(("mqtt",), lambda status: None)
    assert pid_of(stack, "mqtt") != pid
    assert not psutil.pid_exists(pid)


def test_postgres_comes_back_beside_a_busy_backend(small: Small) -> None:
    """A backend in the middle of a query outlives a killed postmaster, and would block the next one."""
    settings, stack = small()

    async def busy() -> None:
        connection = await asyncpg.connect(settings.postgres_dsn)
        query = asyncio.ensure_future(
            connection.execute("do $$ declare i int = 0; begin loop i = (i + 1) % 1000; end loop; end $$")
        )
        await asyncio.sleep(0.5)
        os.kill(pid_of(stack, "postgres"), signal.SIGKILL)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await asyncio.wait_for(query, 30)

    asyncio.run(busy())
    eventually(lambda: state_of(stack, "postgres") == "ready", "postgres is ready", 20)


def test_wipe_does_not_follow_a_link(small: Small, tmp_path: Path) -> None:
    settings, stack = small()
    stack.down()
    elsewhere = tmp_path / "elsewhere"
    (settings.state_dir / "logs").rename(elsewhere)
    (settings.state_dir / "logs").symlink_to(elsewhere)
    with pytest.raises(ConfigurationInvalid, match="is a link"):
        stack.down(wipe=True)
    assert any(elsewhere.iterdir())
    assert (settings.state_dir / "postgres" / "data").is_dir()
    (settings.state_dir / "logs").unlink()


def test_up_and_down_exclude_each_other(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, stack = small()
    monkeypatch.setattr(embedded, "LOCK_WAIT_S", 0.2)
    with StateDirectory(settings.state_dir).locks.hold("stack"):
        for act in (stack.down, lambda: stack.up((), lambda status: None)):
            with pytest.raises(ResourceInUse, match=f"held by process {os.getpid()}"):
                act()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_up_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    stack = EmbeddedStack(tmp_path / "state")
    command = [sys.executable, "-m", "backend_demo", "up", "--any-port", "--state-dir", str(stack.state.path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        eventually(stack.supervisor.runs, "the supervisor runs")
        settings = stack.state.attached(Settings())
        time.sleep(1)
        process.send_signal(number)
        _, said = process.communicate(timeout=40)
        assert process.returncode == code, said
        assert leftovers(settings, stack) == []
    finally:
        process.kill()
        stack.down()


def test_what_keeps_dying_is_given_up(tmp_path: Path) -> None:
    """Five ends in a minute; what it wrote last is at hand."""
    stack = EmbeddedStack(tmp_path / "state")
    stack.state.create(users())
    program = "import sys; sys.exit('error: the disk is on fire')"
    stack.supervisor.launch(
        [
            Program("loader", "services", (sys.executable, "-c", program)),
            Program("kafka", "servers", (sys.executable, "-c", "import time; time.sleep(600)")),
        ]
    )
    try:
        for process in stack.supervisor.processes().values():
            stack.supervisor.start(process)
        eventually(lambda: stack.supervisor.processes()["loader"].state == "FATAL", "supervisor gives up", 40)
        assert stack.supervisor.processes()["kafka"].state == "RUNNING"
        assert stack.supervisor.restarts()["loader"] == 5
        assert (logfiles.last_errors(stack.state.log_of("loader")) or "").endswith("error: the disk is on fire")
    finally:
        stack.down()
