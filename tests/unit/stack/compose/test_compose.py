"""What the compose stack makes of Docker's words: containers, log lines, refusals."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend_demo.errors import (
    BdemoError,
    ConfigurationInvalid,
    PortInUse,
    PrerequisiteMissing,
    ResourceInUse,
    ServiceFailed,
)
from backend_demo.settings import Settings
from backend_demo.stack.compose import docker as compose_docker
from backend_demo.stack.compose import logs as compose_logs
from backend_demo.stack.compose import project as compose_project
from backend_demo.stack.compose.bringup import check_version, failure
from backend_demo.stack.compose.containers import Container
from backend_demo.stack.compose.images import build_failed
from backend_demo.stack.compose.project import Project
from backend_demo.stack.services.table import services_of, with_needs
from backend_demo.stack.state.directory import StateDirectory

REFUSALS = {
    # as Docker 20.10 and 28 and compose 2.26 have written them
    "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get "
    '"http://%2Fvar%2Frun%2Fdocker.sock/v1.50/version": dial unix /var/run/docker.sock: connect: permission denied': (
        PrerequisiteMissing,
        "this user may not use Docker's engine",
    ),
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?": (
        PrerequisiteMissing,
        "Docker's engine does not run",
    ),
    "docker: 'compose' is not a docker command.\nSee 'docker --help'": (
        PrerequisiteMissing,
        "Docker has no compose plugin",
    ),
    "unknown shorthand flag: 'f' in -f\nSee 'docker --help'.": (PrerequisiteMissing, "Docker has no compose plugin"),
    "Error response from daemon: driver failed programming external connectivity on endpoint bdemo-mqtt-1 (97d0): Bind "
    "for 127.0.0.1:1883 failed: port is already allocated": (
        PortInUse,
        "port 1883 of a container is taken by another process",
    ),
    "Error response from daemon: failed to bind host port for 127.0.0.1:11883:172.18.0.3:1883/tcp: address already in "
    "use": (
        PortInUse,
        "port 11883 of a container is taken by another process",
    ),
    " Container x  Starting\nError response from daemon: the sky has fallen\n": (
        ServiceFailed,
        "Docker refused: the sky has fallen",
    ),
    "docker: Error response from daemon: No such image: bdemo:0.\nSee 'docker run --help'.\n": (
        ServiceFailed,
        "Docker refused: No such image: bdemo:0.",
    ),
}


@pytest.mark.parametrize("said", REFUSALS)
def test_a_refusal_is_told_in_one_line_with_a_next_step(said: str) -> None:
    kind, message = REFUSALS[said]
    found = compose_docker.refused(said)
    assert (type(found), found.message) == (kind, message)
    assert found.hint
    assert "\n" not in found.message + found.hint


def test_an_image_that_cannot_be_pulled_is_named() -> None:
    image = "eclipse-mosquitto:0.0.1"
    found = compose_docker.not_pulled(image, f"Error response from daemon: manifest for {image} not found")
    assert found.message == f"the image {image} cannot be pulled: manifest for {image} not found"
    assert isinstance(found, PrerequisiteMissing)


def test_a_failed_build_tells_what_the_step_said() -> None:
    said = [
        "#9 [build 3/6] RUN uv pip install -r requirements.txt",
        "#9 1.201 error: No solution found when resolving dependencies",
        '#9 ERROR: process "/bin/sh -c uv pip install" did not complete successfully: exit code: 1',
        "failed to solve: process did not complete successfully: exit code: 1",
    ]
    found = build_failed("bdemo:1", said)
    assert found.message.startswith("the image bdemo:1 cannot be built: ")
    assert "\n" not in found.message


def container(name: str = "postgres", status: str = "running", health: str = "", **more: Any) -> Container:
    plain = Container("1", name, status, health, exit_code=0, once=False, pid=1, started=0.0, restarts=0)
    return replace(plain, **more)


@pytest.mark.parametrize(
    ("status", "health", "restarts", "state"),
    [
        ("created", "", 0, "waiting"),
        ("running", "starting", 0, "starting"),
        ("running", "healthy", 0, "ready"),
        ("running", "healthy", 9, "ready"),
        ("running", "", 0, "ready"),
        ("running", "unhealthy", 0, "unhealthy"),
        ("restarting", "unhealthy", 1, "starting"),
        ("restarting", "unhealthy", 5, "failed"),
        ("paused", "healthy", 0, "unhealthy"),
        ("exited", "unhealthy", 0, "stopped"),
        ("dead", "", 0, "stopped"),
    ],
)
def test_a_container_s_state(status: str, health: str, restarts: int, state: str) -> None:
    assert container(status=status, health=health, restarts=restarts).state == state


def test_what_waits_for_a_one_shot_begins_when_that_has_succeeded() -> None:
    assert container("migrate", "exited", once=True).done
    assert not container("migrate", "exited", once=True, exit_code=1).done
    assert not container("kafka", "exited").done
    assert container("kafka", health="healthy").done


def test_data_of_another_postgresql_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "2026-11-24 15:40:00 UTC FATAL:  database files are incompatible with server\n"
        "2026-11-24 15:40:00 UTC DETAIL:  The data directory was initialized by PostgreSQL version 17, which is not "
        "compatible with this version 18.6 (Debian 18.6-1)."
    )
    monkeypatch.setattr("backend_demo.stack.compose.bringup.log_of", lambda container, lines: said)
    found = failure(container())
    assert found.message == "the data volume of postgres is of PostgreSQL 17, this is PostgreSQL 18"
    assert "PG_VERSION=17" in found.hint


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("2026-11-24T15:27:14.123456789Z ready partitions=8\n", "ready partitions=8"),
        ("2026-11-24T15:27:14.123456789Z  indented\r\n", " indented"),
        ("2026-11-24T15:27:14.123456789Z \n", ""),
    ],
)
def test_a_line_of_a_container_s_log(text: str, rest: str) -> None:
    found = compose_logs.parsed("loader", text)
    assert (found.service, found.text) == ("loader", rest)
    assert found.time == pytest.approx(1795534034.123456)


def test_the_project_of_the_default_state_directory_is_bdemo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose_project, "default_state_dir", lambda: tmp_path / "home")
    assert Project(StateDirectory(tmp_path / "home")).name == "bdemo"
    other = Project(StateDirectory(tmp_path / "other")).name
    assert other.startswith("bdemo-")
    assert other != Project(StateDirectory(tmp_path / "third")).name


@pytest.fixture
def project(tmp_path: Path) -> Project:
    state = StateDirectory(tmp_path / "state")
    state.create()
    return Project(state)


def test_ports_and_settings_go_to_the_containers(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_HOST_PORT", "3333")
    project.save(Settings(kafka_port=19092, prometheus_port=19090, aggregation_window=5), offset=10_000, any_port=False)
    found = project.plan().environment
    assert found["KAFKA_HOST_PORT"] == "19092"
    assert (found["PROMETHEUS_HOST_PORT"], found["GRAFANA_HOST_PORT"]) == ("19090", "13333")
    assert found["BDEMO_AGGREGATION_WINDOW"] == "5"
    assert json.loads(found["BDEMO_MQTT_FILTERS"]) == ["sensors/#", "/#"]


def test_no_password_goes_to_the_containers_by_environment(project: Project) -> None:
    url, token = "postgresql://me:geheim@x/y", "geheim" * 8
    secret = {"postgres_dsn": url, "postgres_reader_dsn": url, "mqtt_username": "me", "mqtt_password": "geheim"}
    tokens = {"gateway_token": token, "gateway_tokens": (token,)}
    project.save(Settings(**secret, **tokens), offset=0, any_port=False)
    assert "geheim" not in (project.folder / "plan.json").read_text()


def test_three_brokers_are_all_named_to_clients(project: Project) -> None:
    settings = project.save(Settings(profiles=("cluster",)), offset=0, any_port=False)
    assert settings.kafka_bootstrap == "127.0.0.1:9092,127.0.0.1:9094,127.0.0.1:9095"
    with pytest.raises(ConfigurationInvalid, match="was made with --profile cluster"):
        project.save(Settings(), offset=0, any_port=False)


def test_who_needs_kafka_needs_all_brokers() -> None:
    table = services_of("compose", ["cluster"])
    assert list(table)[:3] == ["kafka", "kafka-2", "kafka-3"]
    assert {"kafka-2", "kafka-3"} <= set(with_needs(["bridge"], table=table))
    assert set(table) - {"kafka-2", "kafka-3"} == set(services_of("compose"))


def test_containers_of_an_earlier_version_are_not_joined(project: Project) -> None:
    saved = project.save(Settings(state_dir=project.state.path), offset=0, any_port=False).model_dump()
    check_version(saved)
    with pytest.raises(ResourceInUse, match="earlier version"):
        check_version({**saved, "kafka_security_protocol": "PLAINTEXT"})


@pytest.mark.parametrize("port", ["0", "x", "65000"])
def test_a_port_of_the_containers_that_is_none_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    monkeypatch.setenv("GRAFANA_HOST_PORT", port)
    with pytest.raises(ConfigurationInvalid, match="GRAFANA_HOST_PORT"):
        project.save(Settings(), offset=1000 if port != "0" else 0, any_port=False)


OLD = "Docker's compose plugin is version {}, and 2.24 is the oldest that will do"
DOCKERS = {
    "echo 2.23.3": OLD.format("2.23.3"),
    "echo v2.20.0-desktop.1": OLD.format("2.20.0-desktop.1"),
    "echo 'docker: unknown command: docker compose' >&2; exit 1": "Docker has no compose plugin",
    "[ $1 = compose ] && echo 5.0.1 || { echo 'Cannot connect to the Docker daemon at x' >&2; exit 1; }": (
        "Docker's engine does not run"
    ),
}


@pytest.mark.parametrize("script", DOCKERS)
def test_a_docker_that_will_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\n{script}\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(PrerequisiteMissing) as found:
        compose_docker.check()
    assert found.value.message == DOCKERS[script]
    assert "--stack embedded" in found.value.hint


def test_no_docker_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrerequisiteMissing, match="Docker is not installed"):
        compose_docker.check()


def test_a_docker_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexec sleep 60\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(BdemoError, match=r"does not answer within 0\.2 s"):
        compose_docker.ask("version", limit_s=0.2)
