"""One stack of containers, from `up` to `down --wipe`: everything acknowledged is there once, whatever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from backend_demo.stack import probes
from backend_demo.stack.compose import containers as compose_containers
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.services import mqtt_users
from tests.compose.conftest import WITHOUT, Bdemo
from tests.support.engine import needs_engine
from tests.support.mqtt_client import MqttClient
from tests.support.wait import eventually

pytestmark = needs_engine


@pytest.fixture(scope="module")
def bdemo(opened: Callable[..., Bdemo], tmp_path_factory: pytest.TempPathFactory) -> Bdemo:
    bdemo = opened(tmp_path_factory.mktemp("containers") / "state")
    bdemo.up()
    return bdemo


def states(bdemo: Bdemo) -> dict[str, str]:
    found = subprocess.run(bdemo.command("status", "-o", "json"), capture_output=True, text=True, check=False).stdout
    return {service["name"]: service["state"] for service in json.loads(found)["services"]}


def is_well(bdemo: Bdemo) -> bool:
    return set(states(bdemo).values()) <= {"ready", "off"}


def test_a_user_that_is_added_here_is_seen_in_the_containers_at_once(bdemo: Bdemo) -> None:
    gateway = bdemo.containers()["gateway"].id
    bdemo("mqtt", "user", "add", "kitchen", "--publish", "sensors/7/#")
    assert '"kitchen"' in compose_docker.ask("exec", gateway, "cat", mqtt_users.READER_FILE)
    bdemo("mqtt", "user", "rm", "kitchen")
    assert '"kitchen"' not in compose_docker.ask("exec", gateway, "cat", mqtt_users.READER_FILE)


#: What Prometheus calls the services, as the original's does.
TARGETS = {
    *("mqtt:7007", "collection:7002", "processing:7003", "aggregation:7004"),
    *("load:7005", "api-gateway:7006"),
}


def targets(bdemo: Bdemo) -> dict[str, str]:
    """What Prometheus says of each instance: up, down, unknown."""
    url = f"http://127.0.0.1:{bdemo.stack.state.record.settings()['prometheus_port']}/api/v1/targets?state=active"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = json.loads(answer.read())["data"]["activeTargets"]
    return {target["labels"]["instance"]: target["health"] for target in found}


def test_a_run_is_exact_and_every_command_works(bdemo: Bdemo, tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger.jsonl")
    bdemo("simulate", "--sensors", "5", "--rate", "20", "--duration", "5s", "--ledger", ledger)
    bdemo("verify", "--ledger", ledger)
    bdemo("verify")
    latest = json.loads(bdemo("query", "latest", "--sensor", "1", "-o", "json"))
    assert latest
    assert "sensors/1/temperature" in bdemo("tail", "topic", "sensor-data", "--sensor", "1", "-n", "1", "--exit")
    assert "BDEMO_KAFKA_BOOTSTRAP" in bdemo("env")
    assert "ready partitions=8" in bdemo("logs", "processing")
    assert "done" in bdemo("logs", "setup")


@pytest.mark.parametrize("service", ["processing", "mqtt"])
def test_the_host_s_code_runs_in_the_place_of_a_container(bdemo: Bdemo, tmp_path: Path, service: str) -> None:
    with bdemo.load(tmp_path / "ledger.jsonl") as load:
        run = subprocess.Popen(bdemo.command("run", service), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            state = bdemo.stack.state
            eventually(lambda: states(bdemo)[service] == "stopped", f"{service} stops")
            eventually(lambda: probes.is_ready(service, state.record.settings(), state), "it runs here")
            before = load.acknowledged()
            eventually(lambda: load.acknowledged() > before + 200, "200 more readings")
        finally:
            run.send_signal(signal.SIGINT)
            said, _ = run.communicate(timeout=120)
        assert run.returncode == 130, said
        assert states(bdemo)[service] == "ready"
        load.end()


def test_a_container_that_is_no_copy_of_a_service_is_not_shown(bdemo: Bdemo) -> None:
    """As that by which the users of MQTT are read, while it is there."""
    before = states(bdemo)
    image = bdemo.containers()["processing"].id
    (image,) = compose_docker.ask("inspect", "--format", "{{.Image}}", image).split()
    label = f"{compose_containers.PROJECT}={bdemo.stack.project.name}"
    made = compose_docker.ask("create", "--label", label, image, "true").strip()
    try:
        assert states(bdemo).keys() == before.keys()
    finally:
        compose_docker.ask("rm", "-f", made)


def test_what_is_killed_is_mended_by_up_and_nothing_is_lost(bdemo: Bdemo, tmp_path: Path) -> None:
    """`docker kill`: the engine leaves those alone. A process that is killed it starts again by itself."""
    with bdemo.load(tmp_path / "ledger.jsonl") as load:
        eventually(lambda: load.acknowledged() > 200, "200 readings")
        bdemo.kill("processing", "loader", "mqtt")
        assert {states(bdemo)[name] for name in ("processing", "loader", "mqtt")} == {"stopped"}
        bdemo.up()
        bdemo.kill("kafka", "postgres", "aggregation", "collection")
        bdemo.up()
        proxy = bdemo.containers()["mqtt"]
        assert proxy.pid is not None
        os.kill(proxy.pid, signal.SIGKILL)
        eventually(
            lambda: bdemo.containers()["mqtt"].restarts == proxy.restarts + 1 and is_well(bdemo), "mqtt is back", 120
        )
        before = load.acknowledged()
        eventually(lambda: load.acknowledged() > before + 200, "200 more readings")
        load.end()


def test_copies_come_and_go_under_load_and_averages_stay_exact(bdemo: Bdemo, tmp_path: Path) -> None:
    with bdemo.load(tmp_path / "ledger.jsonl") as load:
        bdemo("scale", "processing=2", "aggregation=3", "loader=2")
        copies = {"processing-2:7103", "aggregation-2:7104", "aggregation-3:7204", "load-2:7105"}
        eventually(lambda: targets(bdemo) == dict.fromkeys(TARGETS | copies, "up"), "all are scraped")
        pid = bdemo.containers()["aggregation-2"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        bdemo("scale", "processing=3", "aggregation=2", "collection=2")
        assert states(bdemo)["aggregation-2"] == "ready"
        assert "aggregation-3" not in states(bdemo)
        bdemo("scale", "processing=1", "aggregation=1", "loader=1", "collection=1")
        load.end()
    assert is_well(bdemo)
    eventually(lambda: targets(bdemo) == dict.fromkeys(TARGETS, "up"), "all are scraped")


def connections(bdemo: Bdemo, copies: int) -> list[float]:
    """Open connections of each copy of the proxy, by the ports of their metrics on this machine."""
    first = bdemo.stack.state.record.settings()["mqtt_stats_port"]
    found = []
    for number in range(copies):
        with urllib.request.urlopen(f"http://127.0.0.1:{first + 100 * number}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found.append(next(float(line.split()[-1]) for line in lines if line.startswith("bdemo_mqtt_connections")))
    return found


def test_copies_of_the_proxy_share_one_port(bdemo: Bdemo, tmp_path: Path) -> None:
    settings = bdemo.stack.state.record.settings()
    password = json.loads(bdemo.stack.state.compose_secrets_file.read_text())["sensor"]
    with bdemo.load(tmp_path / "ledger.jsonl") as load, contextlib.ExitStack() as clients:

        def goes_on() -> None:
            before = load.acknowledged()
            eventually(lambda: load.acknowledged() > before + 100, "100 more readings")

        bdemo("scale", "mqtt=3")
        copies = {"mqtt-2:7107", "mqtt-3:7207"}
        eventually(lambda: targets(bdemo) == dict.fromkeys(TARGETS | copies, "up"), "all are scraped")
        for _ in range(60):
            client = MqttClient("127.0.0.1", settings["mqtt_port"])
            clients.enter_context(client.socket)
            client.connect(username="sensor", password=password)
        eventually(lambda: min(connections(bdemo, 3)) >= 5, "each has its share of the connections")
        goes_on()
        bdemo.kill("mqtt-2")
        goes_on()
        bdemo("scale", "mqtt=2")
        goes_on()
        bdemo.kill("mqtt-port")  # the copies have no network any more
        bdemo.up()
        assert (states(bdemo)["mqtt"], states(bdemo)["mqtt-2"]) == ("ready", "ready")
        goes_on()
        bdemo("scale", "mqtt=1")
        load.end()


def test_the_services_hold_no_password_in_their_environment(bdemo: Bdemo) -> None:
    passwords = json.loads(bdemo.stack.state.compose_secrets_file.read_text()).values()
    inspected = compose_docker.ask("inspect", *(each.id for each in bdemo.containers().values()))
    assert not [password for password in passwords if password in inspected]


def test_down_keeps_data_and_logs_and_up_finds_them(bdemo: Bdemo) -> None:
    before = bdemo("query", "latest", "--sensor", "1", "-o", "json")
    volumes = bdemo.volumes()
    bdemo("down")
    assert not bdemo.containers()
    assert bdemo.volumes() == volumes
    assert " stopped" in bdemo("logs", "loader")
    assert "no stack runs" in bdemo("status", code=7)
    bdemo.up()
    assert bdemo("query", "latest", "--sensor", "1", "-o", "json") == before
    bdemo("verify")


def test_data_of_another_postgresql_are_told(bdemo: Bdemo) -> None:
    """As after an update of PG_VERSION."""
    bdemo("down")
    volume = next(name for name in bdemo.volumes() if name.endswith("postgres-data"))
    image = bdemo.stack.project.services["postgres"]["image"]
    version = ("run", "--rm", "--volume", f"{volume}:/data", "--entrypoint", "sh", image, "-c")
    file = "$(find /data -name PG_VERSION -path '*/docker/PG_VERSION')"
    compose_docker.ask(*version, f"echo 17 > {file}")
    try:
        said = bdemo.up("postgres", code=5)
        assert "error: the data volume of postgres is of PostgreSQL 17, this is PostgreSQL 18" in said
        assert "hint: " in said
    finally:
        bdemo("down")
        compose_docker.ask(*version, f"echo 18 > {file}")
    bdemo.up("postgres")
    bdemo("down")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_up_leaves_no_container(
    opened: Callable[..., Bdemo], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    bdemo = opened(tmp_path / "state")
    process = subprocess.Popen(
        bdemo.command("up", "--any-port", *WITHOUT),
        env={**os.environ, "BDEMO_STACK": "compose"},
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: any(each.status == "running" for each in bdemo.containers().values()), "a container runs")
    process.send_signal(number)
    _, said = process.communicate(timeout=90)
    assert process.returncode == code, said
    assert not bdemo.containers()


def test_a_killed_up_is_taken_over_by_the_next(opened: Callable[..., Bdemo], tmp_path: Path) -> None:
    bdemo = opened(tmp_path / "state")
    process = subprocess.Popen(
        bdemo.command("up", "--any-port", "mqtt"),
        env={**os.environ, "BDEMO_STACK": "compose"},
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: bool(bdemo.containers()), "a container is there")
    process.kill()
    process.wait()
    bdemo.up("mqtt")
    assert states(bdemo)["mqtt"] == "ready"
    bdemo("down")
    assert not bdemo.containers()


WRONG = {
    ("KAFKA_VERSION", "0.0.0"): (4, "error: the image apache/kafka:0.0.0 cannot be pulled: "),
    ("PYTHON_VERSION", "2.99"): (5, "error: the image bdemo:"),
    ("DOCKER_HOST", "unix:///nowhere.sock"): (4, "error: Docker's engine does not run"),
    ("PATH", ""): (4, "error: Docker is not installed"),
}


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_is_wrong_is_told_in_two_lines(tmp_path: Path, name: str, value: str) -> None:
    bdemo = Bdemo(tmp_path / "state")
    code, message = WRONG[name, value]
    *_, error, hint = bdemo.up("mqtt", code=code, **{name: value}).splitlines()
    assert error.startswith(message)
    assert hint.startswith("hint: ")
    if name not in ("DOCKER_HOST", "PATH"):
        bdemo("down", "--wipe")
    assert not bdemo.containers()


def test_a_port_that_a_container_of_somebody_else_holds_is_told(tmp_path: Path) -> None:
    """Taken between our look and the engine's: only the engine can tell."""
    program = (
        "import socket, sys\n"
        "from backend_demo.stack import ports\n"
        "ports.check_port = lambda *args, **more: None\n"
        "from backend_demo.cli.main import main\n"
        "main()"
    )
    bdemo = Bdemo(tmp_path / "state")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-c", program, "up", "mqtt", "--state-dir", str(bdemo.stack.state.path)],
            env={**os.environ, "BDEMO_STACK": "compose", "BDEMO_MQTT_PORT": str(port)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 6, done.stderr
    assert f"error: port {port} of mqtt is taken by another process" in done.stderr
    bdemo("down", "--wipe")
