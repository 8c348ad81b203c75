"""The bridge at a real mosquitto: kill -9, a lost connection, a broker that restarts; nothing acknowledged is lost."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.services import mosquitto
from backend_demo.testing import running_stack
from tests.support.load import Load
from tests.support.ports import free_port, listens
from tests.support.sensors import Publisher, new_sensor
from tests.support.services import all_ready, pid_of
from tests.support.wait import eventually

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="mosquitto is not installed")

PASSWORDS = {user: f"password of {user}" for user in mosquitto.USERS}


class Broker:
    """mosquitto as a child process, configured as the compose profile does; its session store outlives a restart."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        lines = [f"{user}:{mosquitto.hashed(password)}\n" for user, password in PASSWORDS.items()]
        (folder / "passwords").write_text("".join(lines))
        (folder / "passwords").chmod(0o600)
        (folder / "acl").write_text(mosquitto.ACL)
        (folder / "acl").chmod(0o600)
        text = mosquitto.CONFIGURATION.format(
            port=f"{self.port} 127.0.0.1", max_payload=mosquitto.MAX_PAYLOAD_BYTES, in_flight=1000
        )
        text = text.replace("/run/secrets/", f"{folder}/").replace("/mosquitto/data/", f"{folder}/")
        text = text.replace("connection_messages false", "connection_messages true")
        self._configuration = folder / "mosquitto.conf"
        self._configuration.write_text(f"{text}user {getpass.getuser()}\n")
        self._log = folder / "mosquitto.log"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([str(PROGRAM), "-c", self._configuration], stderr=log, stdout=log)
        eventually(lambda: listens(self.port), f"mosquitto listens, see {self._log}", 20)

    def stop(self) -> None:
        """As an init system stops it; it writes its store first."""
        self._process.terminate()
        self._process.wait(20)

    def bridges(self) -> list[str]:
        """The client ids with which the bridge has connected, oldest first."""
        return re.findall(r"as (bdemo-bridge\S+) \(", self._log.read_text())


class Line:
    """Between the broker and its clients; it can be cut."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Ends every connection at once, in the middle of whatever it carries."""
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):  # the server is closed
            while True:
                client, _ = self._server.accept()
                try:
                    broker = socket.create_connection(("127.0.0.1", self._broker.port))
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._ends += [client, broker]
                for ends in ((client, broker), (broker, client)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    @staticmethod
    def _carry(origin: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := origin.recv(65_536):
                target.sendall(data)
        for end in (origin, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("mosquitto"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def line(broker: Broker) -> Iterator[Line]:
    line = Line(broker)
    yield line
    line.close()


@pytest.fixture(scope="module")
def running(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Stack]]:
    """A stack whose readings come from mosquitto."""
    with (
        pytest.MonkeyPatch.context() as environment
    ):  # where a service finds its user of a broker that is not the stack's
        environment.setenv("BDEMO_MQTT_USERNAME", "bridge")
        environment.setenv("BDEMO_MQTT_PASSWORD", PASSWORDS["bridge"])
        with running_stack(
            tmp_path_factory.mktemp("bridged") / "state",
            without=("gateway", "prometheus"),
            mqtt_source="bridge",
            mqtt_port=line.port,
        ) as found:
            yield found


@pytest.fixture
def sensors(settings: Settings) -> Settings:
    """The settings of sensors."""
    return settings.model_copy(update={"mqtt_username": "sensor", "mqtt_password": PASSWORDS["sensor"]})


def test_the_bridge_stands_in_the_place_of_the_proxy(settings: Settings, stack: Stack, line: Line) -> None:
    states = {status.name: status.state for status in stack.status()}
    assert states["bridge"] == "ready"
    assert "mqtt" not in states
    assert settings.mqtt_port == line.port


def test_kill_9_of_the_bridge_loses_nothing(sensors: Settings, stack: Stack, sql: Any, broker: Broker) -> None:
    before = len(broker.bridges())
    with Load(sensors) as load:
        load.more()
        victim = pid_of(stack, "bridge")
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(broker.bridges()) > before, "it connects again")
        eventually(lambda: all_ready(stack), "the stack is ready again", 90)
        load.more()
        load.check(sql)
    assert len(set(broker.bridges())) == 1, "its session is found by its client id"


def test_a_kill_before_the_acknowledgement_loses_nothing(
    settings: Settings, sensors: Settings, stack: Stack, sql: Any
) -> None:
    with Load(sensors) as load:
        run = subprocess.Popen(
            [sys.executable, "-m", "backend_demo", "run", "bridge", "--state-dir", str(settings.state_dir)],
            env={**os.environ, "BDEMO_FAILPOINT": "bridge-before-puback@3"},
            stderr=subprocess.DEVNULL,
        )
        assert run.wait(60) == -signal.SIGKILL
        stack.start("bridge")
        load.check(sql)


def test_a_lost_connection_loses_nothing(sensors: Settings, stack: Stack, sql: Any, broker: Broker, line: Line) -> None:
    victim, before = pid_of(stack, "bridge"), len(broker.bridges())
    with Load(sensors) as load:
        for count in range(1, 4):
            load.more()
            line.cut()
            eventually(lambda wanted=before + count: len(broker.bridges()) >= wanted, "it connects again")
        load.more()
        load.check(sql)
    assert pid_of(stack, "bridge") == victim
    assert len(set(broker.bridges())) == 1


def test_a_restart_of_the_broker_loses_nothing(sensors: Settings, stack: Stack, sql: Any, broker: Broker) -> None:
    with Load(sensors) as load:
        load.more()
        stack.stop("bridge")
        load.more()  # waits in the broker's store
        broker.stop()
        broker.start()
        load.more()
        stack.start("bridge")
        load.check(sql)
    assert len(set(broker.bridges())) == 1


def test_a_payload_that_is_too_large_becomes_a_dead_letter_of_the_bridge(sensors: Settings, bdemo: Any) -> None:
    assert sensors.max_payload_bytes < mosquitto.MAX_PAYLOAD_BYTES / 2
    topic = f"sensors/{new_sensor()}/temperature"
    with Publisher(sensors) as publisher:
        publisher.raw(topic, b"x" * (sensors.max_payload_bytes + 1))
        publisher.settle()

    def letters() -> list[tuple[str, str]]:
        said = bdemo("tail", "topic", "dead-letter", "--from-beginning", "--exit", "-o", "json").stdout
        found = [json.loads(each)["headers"] for each in said.splitlines() if topic in each]
        return [(headers["stage"], headers["reason"]) for headers in found]

    assert eventually(letters, "a dead letter") == [("bridge", "size")]
