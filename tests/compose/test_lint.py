"""The rules for containers, over what `docker compose config` makes of the files."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.compose.rules import ONCE, RULES, Rule, Service, broken

FOLDER = Path(__file__).parents[2] / "compose"
FILES = {"one broker": [], "three brokers": ["cluster.yaml"]}


@cache
def has_compose() -> bool:
    command = ["docker", "compose", "version"]
    return shutil.which("docker") is not None and subprocess.run(command, capture_output=True).returncode == 0


@cache
def config(*more: str) -> dict[str, Service]:
    """The services of compose.yaml and more files, with every profile; skips where there is no compose."""
    if not has_compose():
        pytest.skip("there is no docker with compose here")
    files = [word for name in ("compose.yaml", *more) for word in ("-f", str(FOLDER / name))]
    profiles = ["--profile", "*"]
    done = subprocess.run(
        ["docker", "compose", *files, *profiles, "config", "--format", "json"], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr, "compose warns"
    services: dict[str, Service] = json.loads(done.stdout)["services"]
    return services


@pytest.mark.parametrize("more", FILES.values(), ids=FILES)
@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_every_container(more: list[str], check: Rule) -> None:
    assert broken(config(*more), check) == {}


@pytest.mark.parametrize("more", FILES.values(), ids=FILES)
def test_something_waits_for_what_runs_once(more: list[str]) -> None:
    """Else `up --wait` fails: it takes a container that has ended for one that failed."""
    services = config(*more)
    for once in ONCE:
        assert any(once in service.get("depends_on", {}) for service in services.values())


def test_the_brokers_differ_in_name_rack_port_and_data_only() -> None:
    services = config("cluster.yaml")
    brokers = [services[name] for name in ("kafka", "kafka-2", "kafka-3")]
    own = {"KAFKA_NODE_ID", "KAFKA_BROKER_RACK", "KAFKA_ADVERTISED_LISTENERS"}
    for key in own:
        assert len({broker["environment"][key] for broker in brokers}) == 3
    alike = [{key: value for key, value in broker["environment"].items() if key not in own} for broker in brokers]
    assert alike[0] == alike[1] == alike[2]
    assert len({broker["ports"][0]["published"] for broker in brokers}) == 3
    assert len({broker["volumes"][0]["source"] for broker in brokers}) == 3
    secrets = [[each["source"] for each in broker["volumes"][1:]] for broker in brokers]
    assert secrets == [["kafka-secrets"]] * 3
    assert all(len(broker["ports"]) == 1 for broker in brokers)
