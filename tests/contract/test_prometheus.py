"""The embedded stack with, and without, a Prometheus; that of these tests is a program that is none."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend_demo.errors import PortInUse, PrerequisiteMissing
from backend_demo.settings import Settings
from backend_demo.stack import logfiles, time_limits
from backend_demo.stack.base import ServiceStatus, StackChange
from backend_demo.stack.embedded.stack import EmbeddedStack
from backend_demo.stack.services.table import SERVICES
from tests.support.leftovers import leftovers
from tests.support.services import pid_of, state_of

#: All but a quick server and what is tested.
OTHERS = [name for name in SERVICES if name not in ("postgres", "prometheus")]

ANSWERS = f"""#!{sys.executable}
import http.server, sys
address = next(word for word in sys.argv if word.startswith("--web.listen-address=")).rpartition("=")[2]
host, port = address.split(":")
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer((host, int(port)), Ready).serve_forever()
"""
FAILS = "#!/bin/sh\necho 'ts=2026-11-24T10:00:00.000Z level=error err=\"the disk is full\"'\nexit 1\n"


Program = Callable[[str], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where `prometheus` is looked for; no other is found."""
    folder = tmp_path_factory.mktemp("bin")
    places = [place for place in os.environ["PATH"].split(os.pathsep) if not (Path(place) / "prometheus").exists()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([str(folder), *places]))
        yield folder


@pytest.fixture(scope="module")
def launched(folder: Path) -> Iterator[EmbeddedStack]:
    """Launched without a Prometheus."""
    stack = EmbeddedStack(folder.parent / "state", any_port=True)
    with pytest.raises(PrerequisiteMissing, match="Prometheus is not installed"):
        stack.up(["prometheus"], lambda status: None)
    assert not stack.state.path.exists(), "refused before anything was made"
    assert "prometheus" not in up(stack).started
    yield stack
    settings = stack.state.attached(Settings())
    stack.down()
    assert leftovers(settings, stack) == []


@pytest.fixture
def stack(launched: EmbeddedStack, folder: Path) -> Iterator[EmbeddedStack]:
    yield launched
    launched.stop("prometheus")
    (folder / "prometheus").unlink(missing_ok=True)


@pytest.fixture
def program(folder: Path) -> Program:
    """Installs a `prometheus`."""

    def write(text: str) -> None:
        (folder / "prometheus").write_text(text)
        (folder / "prometheus").chmod(0o755)

    return write


def up(stack: EmbeddedStack, *services: str) -> StackChange:
    """Brings up these services, or the quick ones."""
    return stack.up(services, lambda status: None, without=() if services else OTHERS)


def test_what_is_not_installed_is_left_out_in_silence(stack: EmbeddedStack) -> None:
    reports: list[ServiceStatus] = []
    change = stack.up((), reports.append, without=OTHERS)
    assert "prometheus" not in {report.name for report in reports}
    assert (change.left_out, "prometheus" in change.started) == ((), False)
    assert state_of(stack, "postgres") == "ready"
    assert state_of(stack, "prometheus") in ("off", "stopped")
    assert (stack.state.path / "prometheus" / "prometheus.yml").exists(), "for somebody's own"
    for start in (lambda: up(stack, "prometheus"), lambda: stack.scale({"prometheus": 1}, lambda status: None)):
        with pytest.raises(PrerequisiteMissing, match="Prometheus is not installed"):
            start()


def test_it_is_a_server_like_the_others(stack: EmbeddedStack, program: Program) -> None:
    program(ANSWERS)
    assert "prometheus" in up(stack).started
    assert "prometheus" in up(stack).already_running
    stack.stop("prometheus")
    assert state_of(stack, "prometheus") == "stopped"
    stack.start("prometheus")
    assert state_of(stack, "prometheus") == "ready"
    assert os.getpriority(os.PRIO_PROCESS, pid_of(stack, "prometheus")) - os.getpriority(os.PRIO_PROCESS, 0) == 10
    targets = stack.state.path / "prometheus" / "targets" / "services.json"
    assert json.loads(targets.read_text()) == [], "none of the services is to run"


def test_one_that_fails_fails_nothing_else_if_it_was_not_named(
    stack: EmbeddedStack, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limits, "OPTIONAL_S", 1.0)
    program(FAILS)
    change = up(stack)
    assert "prometheus" not in (*change.started, *change.already_running)
    (left_out,) = change.left_out
    assert left_out.name == "prometheus"
    assert "see: bdemo logs prometheus" in left_out.reason
    assert state_of(stack, "postgres") == "ready"
    assert "the disk is full" in (logfiles.last_errors(stack.state.log_of("prometheus")) or "")
    program(ANSWERS)
    up(stack, "prometheus")
    assert state_of(stack, "prometheus") == "ready"


def test_a_taken_port_is_told_and_no_reason_to_stop(stack: EmbeddedStack, program: Program) -> None:
    """It may be the user's own Prometheus, which a package has started."""
    program(ANSWERS)
    port = stack.state.record.settings()["prometheus_port"]
    with socket.create_server(("127.0.0.1", port)):
        (left_out,) = up(stack).left_out
        assert left_out.name == "prometheus"
        assert left_out.reason.startswith(f"port {port} of prometheus is taken by process {os.getpid()}")
        assert state_of(stack, "postgres") == "ready"
        with pytest.raises(PortInUse, match=f"port {port} of prometheus"):
            up(stack, "prometheus")
