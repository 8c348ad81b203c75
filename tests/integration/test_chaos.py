"""`bdemo chaos` on a running stack: faults that are over when it says so, and a verdict that can be trusted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from backend_demo.errors import NoStack, ResourceInUse, ServiceFailed, VerificationFailed
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from tests.support.schemas import check
from tests.support.services import all_ready, pid_of, state_of
from tests.support.shell import Shell
from tests.support.signals import hear_everything
from tests.support.wait import eventually

#: Each server and a stage is killed, and each stands still, some of them while another one recovers.
EVERYTHING = """
[[fault]]
at = 1
kind = "kill"
service = "loader"
[[fault]]
at = 2
kind = "pause"
service = "mqtt"
for = 2
[[fault]]
at = 5
kind = "kill"
service = "postgres"
for = 3
[[fault]]
at = 10
kind = "pause"
service = "kafka"
for = 3
[[fault]]
at = 15
kind = "kill"
service = "mqtt"
[[fault]]
at = 16
kind = "pause"
service = "postgres"
for = 2
[[fault]]
at = 20
kind = "restart"
service = "aggregation"
[[fault]]
at = 20
kind = "kill"
service = "kafka"
"""

ONE = '[[fault]]\nat = 3\nkind = "restart"\nservice = "gateway"\n'


@pytest.fixture(autouse=True)
def well(stack: Stack) -> None:
    eventually(lambda: all_ready(stack), "the stack is ready", 120)


@contextmanager
def chaos(bdemo: Shell, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        bdemo.command("chaos", *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_everything,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def stopped(pid: int) -> bool:
    """Whether a process and all that descends from it stands still."""
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return {process.status() for process in tree} == {psutil.STATUS_STOPPED}


@pytest.mark.timeout(400)
def test_faults_in_every_server_lose_nothing(bdemo: Shell, stack: Stack, tmp_path: Path) -> None:
    scenario = tmp_path / "everything.toml"
    scenario.write_text(EVERYTHING)
    before = {name: pid_of(stack, name) for name in ("kafka", "postgres", "mqtt", "loader", "aggregation")}
    done = bdemo("chaos", "run", str(scenario), "--rate", "5", "-o", "json", timeout_s=350)
    found = check(json.loads(done.stdout))
    assert found["passed"]
    assert found["scenario"] == "everything"
    assert found["load"]["acknowledged"] == found["load"]["sent"] > 2000
    assert found["verdict"]["readings"] == found["verdict"]["averages"] > 2000
    assert [fault["problem"] for fault in found["faults"]] == [""] * 8
    assert all(fault["recovered_s"] is not None for fault in found["faults"])
    assert all(pid != before[name] for name in before if (pid := pid_of(stack, name)))
    assert "kill kafka: all well again after" in done.stderr
    assert all_ready(stack)


@pytest.mark.timeout(300)
def test_a_lost_reading_is_found(bdemo: Shell, sql: Any, tmp_path: Path) -> None:
    """A row is deleted behind the pipeline's back, during the run."""
    scenario, ledger = tmp_path / "one.toml", tmp_path / "ledger.jsonl"
    scenario.write_text(ONE)
    words = ("run", str(scenario), "--ledger", str(ledger), "--wait", "4s", "-o", "json")
    with chaos(bdemo, *words) as process:
        eventually(lambda: ledger.exists() and ledger.stat().st_size > 1000, "the sensors publish")
        sensor = json.loads(ledger.read_text().splitlines()[0])["sensor"]
        row = "select timestamp from temperature join average using (sensor_num, timestamp) where sensor_num = $1"
        found, *_ = eventually(lambda: sql(row, sensor), "a reading and its average are stored")
        timestamp = found["timestamp"]
        deleted = {}
        for table in ("average", "temperature"):
            where = "where sensor_num = $1 and timestamp = $2"
            ((deleted[table],),) = sql(f"delete from {table} {where} returning value", sensor, timestamp)
        stdout, _ = process.communicate(timeout=250)
    for table, value in deleted.items():  # other tests verify all that the stack has
        sql(f"insert into {table} (sensor_num, timestamp, value) values ($1, $2, $3)", sensor, timestamp, value)
    assert process.returncode == VerificationFailed.exit_code
    verdict = check(json.loads(stdout))["verdict"]
    assert verdict["lost"]["count"] == 1
    assert verdict["lost"]["examples"][0]["timestamp"] == timestamp
    assert verdict["lost"]["sensors"] == {str(sensor): 1}
    assert ledger.exists()


def test_a_killed_service_stays_down_for_the_time_given(bdemo: Shell, stack: Stack) -> None:
    before = pid_of(stack, "loader")
    with chaos(bdemo, "kill", "loader", "--for", "3s", "-o", "json") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "killed loader, for 3 s\n"
        assert state_of(stack, "loader") == "stopped"
        stdout, _ = process.communicate(timeout=150)
    found = check(json.loads(stdout))
    assert (found["kind"], found["copies"]) == ("kill", ["loader"])
    assert found["for_s"] >= 3
    assert 0 < found["recovered_s"] <= found["all_recovered_s"]
    assert pid_of(stack, "loader") not in (before, None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_paused_server_goes_on_when_the_command_is_ended(bdemo: Shell, stack: Stack, number: signal.Signals) -> None:
    pid = pid_of(stack, "postgres")
    assert pid is not None
    with chaos(bdemo, "pause", "postgres", "--for", "10m") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "paused postgres, for 600 s\n"
        assert stopped(pid)
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    eventually(lambda: state_of(stack, "postgres") == "ready", "it goes on")
    assert pid_of(stack, "postgres") == pid


def test_ctrl_c_ends_faults_and_load_and_the_comparison_is_made(bdemo: Shell, stack: Stack, tmp_path: Path) -> None:
    scenario = tmp_path / "long.toml"
    scenario.write_text('[[fault]]\nat = 0\nkind = "pause"\nservice = "gateway"\nfor = 600\n')
    with chaos(bdemo, "run", str(scenario), "-o", "json") as process:
        assert process.stderr is not None
        assert "pause gateway, for 600 s" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=150)
    assert process.returncode == 130
    found = check(json.loads(stdout))
    assert found["passed"]
    assert found["interrupted"]
    assert found["seconds"] < 300
    eventually(lambda: state_of(stack, "gateway") == "ready", "it goes on")


def test_what_is_run_by_hand_is_left_alone(bdemo: Shell, stack: Stack, state: Any, settings: Settings) -> None:
    run = subprocess.Popen(bdemo.command("run", "processing"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: state.locks.is_held("processing"), "bdemo run takes the place")
        eventually(lambda: state_of(stack, "processing") == "stopped", "the stack's own has ended")
        said = bdemo("chaos", "kill", "processing", code=ResourceInUse.exit_code).stderr
        assert "bdemo run" in said
        assert run.poll() is None
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(60)
    eventually(lambda: all_ready(stack), "the stack's own is back", 120)


def test_a_stack_that_is_not_well_is_not_broken_further(bdemo: Shell, stack: Stack) -> None:
    stack.stop("gateway")
    try:
        said = bdemo("chaos", "run", code=ServiceFailed.exit_code).stderr
        assert "gateway is stopped already, before any fault" in said
        said = bdemo("chaos", "kill", "gateway", code=ServiceFailed.exit_code).stderr
        assert "gateway does not run" in said
    finally:
        stack.start("gateway")


def test_without_a_stack(tmp_path: Path) -> None:
    for words in (("kill", "kafka"), ("run",)):
        said = Shell(tmp_path / "none")("chaos", *words, code=NoStack.exit_code).stderr
        assert "no stack runs" in said
    assert not os.listdir(tmp_path)
