"""Kafka and the MQTT proxy, embedded, once for each worker; further processes of the proxy are started beside it."""

import itertools
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend_demo import testing
from backend_demo.mqtt.users_file import Rights
from backend_demo.settings import Settings
from backend_demo.stack.base import Stack
from backend_demo.stack.mqtt_users import users_of
from backend_demo.stack.services.table import services_of
from backend_demo.stack.state.directory import StateDirectory
from tests.support.kafka import brokers
from tests.support.proxy import KafkaTopics, Login, ProxyProcess, standalone

_numbers = itertools.count(secrets.randbelow(10**9))

WITHOUT = tuple(name for name in services_of("embedded") if name not in ("kafka", "mqtt"))

#: Bounds that a test reaches at once.
SMALL = {
    "mqtt_connections": 20,
    "mqtt_in_flight": 20,
    "mqtt_topic_bytes": 100,
    "mqtt_topic_aliases": 3,
    "mqtt_subscriptions": 3,
    "mqtt_subscriber_kb": 64,
    "mqtt_packet_bytes": 70_000,
    "max_payload_bytes": 16_000,
    "mqtt_connect_timeout_s": 1.5,
    "mqtt_packet_timeout_s": 1.5,
    "mqtt_keep_alive_max_s": 5,
}


@pytest.fixture(scope="session")
def running() -> Iterator[tuple[Settings, Stack]]:
    with tempfile.TemporaryDirectory(prefix="bdemo-") as folder:  # short: sockets have short paths
        state_dir = Path(folder) / "state"
        with testing.running_stack(state_dir, without=WITHOUT) as found:
            yield found


@pytest.fixture(scope="session")
def settings(running: tuple[Settings, Stack]) -> Settings:
    return running[0]


@pytest.fixture(scope="session")
def stack(running: tuple[Settings, Stack]) -> Stack:
    return running[1]


@pytest.fixture(scope="session")
def login(settings: Settings) -> Login:
    """A user with all rights, at the stack's proxy."""
    name = f"everything-{secrets.token_hex(4)}"
    password = users_of(settings.state_dir).add(name, Rights(("#",), ("#",)))
    return Login(settings.mqtt_host, settings.mqtt_port, name, password)


@pytest.fixture(scope="session")
def topics(settings: Settings) -> KafkaTopics:
    return KafkaTopics(brokers(settings))


@pytest.fixture(scope="session")
def users_file(settings: Settings) -> Path:
    return StateDirectory(settings.state_dir).mqtt_users_file


@pytest.fixture
def topic() -> str:
    """An MQTT topic of readings that no other test uses."""
    return f"sensors/{next(_numbers)}/temperature"


@pytest.fixture(scope="session")
def small(topics: KafkaTopics, users_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyProcess]:
    """A proxy with small bounds."""
    with standalone(topics, users_file, tmp_path_factory.mktemp("proxy"), **SMALL) as process:
        yield process


@pytest.fixture
def small_login(login: Login, small: ProxyProcess) -> Login:
    return login.at(small.port)
