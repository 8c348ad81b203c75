"""`bdemo run`: a service in the foreground, in place of its supervised copy or without any stack; `bdemo demo`."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.state.directory import StateDirectory
from tests.support.ports import free_port
from tests.support.sensors import Publisher, exact, new_sensor
from tests.support.services import all_ready, pid_of
from tests.support.shell import Shell
from tests.support.wait import eventually


@contextmanager
def foreground(*words: str, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend_demo", "run", *words],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stderr=file,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.parametrize("service", ["processing", "gateway"])
def test_a_service_runs_here_and_its_supervised_copy_comes_back(
    settings: Settings, stack: Stack, sql: Any, tmp_path: Path, service: str
) -> None:
    eventually(lambda: all_ready(stack), "the stack is ready")
    before = pid_of(stack, service)
    with foreground(service, "--state-dir", str(settings.state_dir), log=tmp_path / "log") as process:
        eventually(lambda: pid_of(stack, service) is None, "the supervised copy stops")
        with Publisher(settings) as publisher:
            for i in range(50):
                publisher.reading(new_sensor(), time.time() - i, 20.0)
            publisher.settle()
            exact(sql, publisher.acknowledged)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, (tmp_path / "log").read_text()
    assert pid_of(stack, service) not in (before, None)
    eventually(lambda: all_ready(stack), "the stack is ready again")


def test_ctrl_c_while_the_supervised_copy_stops_brings_it_back(
    settings: Settings, stack: Stack, tmp_path: Path
) -> None:
    eventually(lambda: all_ready(stack), "the stack is ready")
    with foreground("gateway", "--state-dir", str(settings.state_dir), log=tmp_path / "log") as process:
        eventually(lambda: pid_of(stack, "gateway") is None, "the supervised copy stops")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, (tmp_path / "log").read_text()
    eventually(lambda: all_ready(stack), "the stack is ready again")


def test_a_taken_port_is_told_before_the_supervised_copy_is_stopped(
    settings: Settings, stack: Stack, tmp_path: Path
) -> None:
    eventually(lambda: all_ready(stack), "the stack is ready")
    before = pid_of(stack, "gateway")
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with foreground("gateway", "--state-dir", str(settings.state_dir), "--port", port, log=log) as process:
            assert process.wait(60) == 6
    assert f"port {port} of gateway is taken" in log.read_text()
    assert pid_of(stack, "gateway") == before


def test_a_copy_runs_here_and_the_others_go_on(
    settings: Settings, stack: Stack, bdemo: Any, sql: Any, tmp_path: Path
) -> None:
    eventually(lambda: all_ready(stack), "the stack is ready")
    bdemo("scale", "processing=2")
    try:
        first = pid_of(stack, "processing")
        with foreground("processing-2", "--state-dir", str(settings.state_dir), log=tmp_path / "log") as process:
            eventually(lambda: pid_of(stack, "processing-2") is None, "the supervised copy stops")
            bdemo("up")  # it knows that something runs in the place of the second copy
            with Publisher(settings) as publisher:
                for i in range(50):
                    publisher.reading(new_sensor(), time.time() - i, 20.0)
                publisher.settle()
                exact(sql, publisher.acknowledged)
            assert process.poll() is None
            assert pid_of(stack, "processing-2") is None
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130, (tmp_path / "log").read_text()
        assert pid_of(stack, "processing") == first
        assert pid_of(stack, "processing-2") is not None
    finally:
        bdemo("scale", "processing=1")
    assert "unknown copy 'processing-2'" in bdemo("run", "processing-2", code=9).stderr


def test_two_copies_of_a_service_are_refused(settings: Settings, stack: Stack, tmp_path: Path) -> None:
    eventually(lambda: all_ready(stack), "the stack is ready")
    words = ("collection", "--state-dir", str(settings.state_dir))
    with foreground(*words, "--supervised", log=tmp_path / "log") as process:
        assert process.wait(30) == 6
    assert "error:" in (tmp_path / "log").read_text()


def test_services_run_without_a_stack(settings: Settings, stack: Stack, sql: Any, bdemo: Any, tmp_path: Path) -> None:
    """The whole pipeline by addresses alone, as on other hosts, on the servers of the suite's stack."""
    names = ("mqtt", "collection", "processing", "aggregation", "loader")
    exports = dict(
        line.removeprefix("export ").replace("'", "").split("=", 1)
        for line in bdemo("env", "--admin").stdout.splitlines()
    )
    with Publisher(settings) as publisher:
        for name in names:
            stack.stop(name)
        try:
            variables = {
                **{name: value for name, value in exports.items() if name != "BDEMO_GATEWAY_URL"},
                **{f"BDEMO_{name.upper()}_STATS_PORT": str(free_port()) for name in names},
                "BDEMO_MQTT_USERS_FILE": str(StateDirectory(settings.state_dir).mqtt_users_file),
                "BDEMO_STATE_DIR": str(tmp_path / "elsewhere"),
            }
            running = [foreground(name, "--standalone", log=tmp_path / name, **variables) for name in names]
            processes = [each.__enter__() for each in running]
            sensor, now = new_sensor(), time.time()
            for i in range(200):
                publisher.reading(sensor, now - i, 20.0 + i % 3)
            publisher.settle()
            exact(sql, publisher.acknowledged)
            for process in processes:
                process.send_signal(signal.SIGTERM)
            assert [process.wait(30) for process in processes] == [143] * len(names)
        finally:
            for name in names:
                stack.start(name)


def test_run_says_what_is_wrong(bdemo: Any, tmp_path: Path) -> None:
    found = bdemo("run", "colection", code=9)
    assert "did you mean collection" in found.stderr
    assert found.stderr.count("error:") == 1


def test_a_service_that_waits_for_kafka_ends_when_told_to(tmp_path: Path) -> None:
    variables = {
        "BDEMO_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "BDEMO_COLLECTION_STATS_PORT": str(free_port()),
        "BDEMO_STATE_DIR": str(tmp_path),
    }
    with foreground("collection", "--standalone", log=tmp_path / "log", **variables) as process:
        eventually(lambda: "Kafka" in (tmp_path / "log").read_text(), "it waits for Kafka")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143


def test_the_demo_shows_that_all_arrived(tmp_path: Path) -> None:
    bdemo = Shell(tmp_path / "state")
    try:
        done = bdemo("demo", "--duration", "3s", "--any-port", timeout_s=180)
    finally:
        bdemo("down", "--wipe")  # a demo that took too long was killed, and its stack runs on
    assert "Nothing is wrong" in done.stdout
    assert "150 readings went from MQTT" in done.stderr
    assert "The stack is down" in done.stderr


def test_the_supervised_copy_comes_back_after_a_hard_end(settings: Settings, stack: Stack, tmp_path: Path) -> None:
    """Ctrl-C twice, a closed terminal: the process does not wait for itself, but it leaves nothing stopped."""
    for number, times, code in ((signal.SIGINT, 2, 130), (signal.SIGHUP, 1, 129)):
        eventually(lambda: all_ready(stack), "the stack is ready")
        with foreground("processing", "--state-dir", str(settings.state_dir), log=tmp_path / "log") as process:
            eventually(lambda: pid_of(stack, "processing") is None, "the supervised copy stops")
            eventually(lambda: "ready" in (tmp_path / "log").read_text(), "it runs here")
            for _ in range(times):
                process.send_signal(number)
            assert process.wait(90) == code, (tmp_path / "log").read_text()
        assert pid_of(stack, "processing") is not None
    eventually(lambda: all_ready(stack), "the stack is ready again")


def test_a_debugger_session_that_is_quit_brings_the_supervised_copy_back(
    settings: Settings, stack: Stack, tmp_path: Path
) -> None:
    """`--pdb`: a failure opens the debugger where it was raised; here nobody is at the keyboard, so it ends."""
    eventually(lambda: all_ready(stack), "the stack is ready")
    log = tmp_path / "log"
    words = ("loader", "--pdb", "--state-dir", str(settings.state_dir))
    with (
        foreground(*words, log=log, BDEMO_FAILPOINT="loader-before-commit!") as process,
        Publisher(settings) as publisher,
    ):
        eventually(lambda: "ready" in log.read_text(), "it runs here")
        publisher.reading(new_sensor(), time.time(), 20.0)
        publisher.settle()
        assert process.wait(90) == 1, log.read_text()
    assert "FailPoint" in log.read_text()
    eventually(lambda: all_ready(stack), "the stack is ready again")
