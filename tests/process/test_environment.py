"""What a supervised process gets of the shell that said `up`, and what it may do; the same of `bdemo run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend_demo import environment
from backend_demo.settings import Settings
from backend_demo.stack.embedded.supervisor import Supervisor
from backend_demo.stack.services.service import Program
from backend_demo.stack.state.directory import StateDirectory
from tests.support.hostile import HOSTILE
from tests.support.ports import free_port
from tests.support.wait import eventually

#: A program that says what it is, and goes on.
SAYS = """
import json, os, resource, time
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
found = {"environment": dict(os.environ), "status": status, "core": resource.getrlimit(resource.RLIMIT_CORE)}
print(json.dumps(found), flush=True)
time.sleep(60)
"""

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


class Supervised:
    """A supervisor with one program."""

    def __init__(self, folder: Path) -> None:
        self.state = StateDirectory(folder)
        self.state.create()
        self.supervisor = Supervisor(self.state)

    def launch(self) -> None:
        program = self.state.path / "says.py"
        program.write_text(SAYS)
        self.supervisor.launch([Program("says", "services", (sys.executable, str(program)))])

    def says(self) -> dict[str, Any]:
        """What the program says of itself when it is started now."""
        log = self.state.log_of("says")
        known = log.read_text().splitlines() if log.exists() else []
        process = self.supervisor.processes()["says"]
        self.supervisor.start(process)
        eventually(lambda: len(log.read_text().splitlines()) > len(known), "that it says something")
        self.supervisor.stop(process)
        return dict(json.loads(log.read_text().splitlines()[-1]))


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    found = Supervised(tmp_path_factory.mktemp("state"))
    with pytest.MonkeyPatch.context() as shell:
        for name, value in {**HOSTILE, "TZ": "Asia/Tokyo", "BDEMO_KAFKA_HEAP_MB": "200"}.items():
            shell.setenv(name, value)
        found.state.handed_on.save(Settings(state_dir=found.state.path))
        found.launch()
    yield found
    found.supervisor.shut_down()


@pytest.fixture(scope="module")
def said(supervised: Supervised) -> dict[str, Any]:
    return supervised.says()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_supervised_process_does_not_get_it(said: dict[str, Any], name: str) -> None:
    assert name not in said["environment"]


def test_a_supervised_process_gets_what_is_documented_and_nothing_else(said: dict[str, Any]) -> None:
    names = {name for name in said["environment"] if not name.startswith("SUPERVISOR_")}
    assert names <= {*environment.NAMES, *environment.FIXED}
    assert said["environment"]["TZ"] == "Asia/Tokyo"
    assert said["environment"]["PATH"] == os.environ["PATH"]


def test_no_supervised_process_dumps_its_memory(said: dict[str, Any]) -> None:
    """With 0 Linux would still hand a core to a program in core_pattern."""
    assert said["core"] == [1, 1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to lose")
def test_a_supervised_process_of_root_has_no_capability_and_cannot_get_one(said: dict[str, Any]) -> None:
    found = {name: int(said["status"][name], 16) for name in CAPABILITIES}
    assert found == dict.fromkeys(CAPABILITIES, 0)
    assert said["status"]["NoNewPrivs"].strip() == "1"


def test_a_process_gets_what_the_newest_up_hands_on(supervised: Supervised, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Oslo")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    supervised.state.handed_on.save(Settings(state_dir=supervised.state.path, mqtt_password="new"))
    found = supervised.says()["environment"]
    assert (found["TZ"], found["OTEL_TRACES_SAMPLER"]) == ("Europe/Oslo", "always_off")
    assert supervised.state.handed_on.settings() == {"mqtt_password": "new"}
    assert "new" not in found.values()

    monkeypatch.delenv("OTEL_TRACES_SAMPLER")
    supervised.state.handed_on.save(Settings(state_dir=supervised.state.path))
    assert "OTEL_TRACES_SAMPLER" not in supervised.says()["environment"]


def test_a_service_in_a_terminal_does_not_obey_the_shell(tmp_path: Path) -> None:
    """The user's own shell: metrics of one process, no proxy, none of Faust's variables. Its debugger's are kept."""
    port, gateway_port = free_port(), free_port()
    shell = {
        **os.environ,
        **HOSTILE,
        "BDEMO_STATE_DIR": str(tmp_path),
        "BDEMO_POSTGRES_DSN": f"postgresql://nobody@127.0.0.1:{free_port()}/none",
        "BDEMO_GATEWAY_PORT": str(gateway_port),
        "BDEMO_GATEWAY_STATS_PORT": str(port),
    }
    command = [sys.executable, "-m", "backend_demo", "run", "gateway", "--standalone"]
    with subprocess.Popen(command, env=shell, stderr=subprocess.PIPE, text=True) as service:
        try:
            with httpx.Client(trust_env=False) as client:

                def serves() -> bool:
                    assert service.poll() is None, service.communicate()[1]
                    try:
                        return client.get(f"http://127.0.0.1:{gateway_port}/healthz").status_code == 200
                    except httpx.TransportError:
                        return False

                eventually(serves, "that it serves", 60)
                assert "process_cpu_seconds_total" in client.get(f"http://127.0.0.1:{port}/metrics").text
            limits = Path(f"/proc/{service.pid}/limits").read_text().splitlines()
            assert next(line.split()[4:6] for line in limits if line.startswith("Max core file size")) == ["1", "1"]
        finally:
            service.terminate()
            service.communicate(timeout=30)


TERMINAL = """
import os
from backend_demo import environment
with environment.of_a_terminal():
    print(*sorted(os.environ))
print(*sorted(os.environ))
"""


def test_what_a_service_in_a_terminal_keeps_is_for_its_debugger_and_given_back() -> None:
    kept = {"PYTHONBREAKPOINT": "ipdb.set_trace", "TERM": "xterm", "PYDEVD_USE_FRAME_EVAL": "NO", "LC_ALL": "C.UTF-8"}
    shell = {**os.environ, **HOSTILE, **kept}
    done = subprocess.run([sys.executable, "-c", TERMINAL], env=shell, capture_output=True, text=True, check=True)
    within, after = (set(line.split()) for line in done.stdout.splitlines())
    assert kept.keys() <= within
    assert not HOSTILE.keys() & within
    assert after >= shell.keys()
