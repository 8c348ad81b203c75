"""The compose project of a state directory: its name, its files, and the environment that they are read with."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import backend_demo
from backend_demo.errors import ConfigurationInvalid
from backend_demo.places import default_state_dir
from backend_demo.stack.services import SERVICES, STATS_PORT_STEP, Service, copy_of, services_of
from backend_demo.stack.state import StateDirectory, write_private

if TYPE_CHECKING:
    from python_on_whales import DockerClient

    from backend_demo.settings import Settings

HOST = "127.0.0.1"

#: What python-on-whales yields while a command runs: the stream's name, and a line.
Lines = Iterable[tuple[str, bytes]]

#: Profiles that are files of their own, laid over compose.yaml; the others are profiles within it.
OVERLAYS = ("cluster", "mosquitto")

#: Host ports by their names in compose/.env, and the settings that hold them. The other ports there are this stack's
#: alone.
PORTS = {
    "KAFKA_HOST_PORT": "kafka_port",
    "PG_HOST_PORT": "postgres_port",
    "MQTT_PROXY_HOST_PORT": "mqtt_port",
    "GATEWAY_HOST_PORT": "gateway_port",
    "PROMETHEUS_HOST_PORT": "prometheus_port",
    "BRIDGE_STATS_HOST_PORT": "bridge_stats_port",
    "COLLECTION_STATS_HOST_PORT": "collection_stats_port",
    "PROCESSING_STATS_HOST_PORT": "processing_stats_port",
    "AGGREGATION_STATS_HOST_PORT": "aggregation_stats_port",
    "LOAD_STATS_HOST_PORT": "loader_stats_port",
    "GATEWAY_STATS_HOST_PORT": "gateway_stats_port",
}

#: Brokers of the profile `cluster` beside the first one, by the names of their ports.
_BROKERS = ("KAFKA_2_HOST_PORT", "KAFKA_3_HOST_PORT")

_DATA = "it is a server with one data directory"

#: What each profile adds to the table of services.
_ADDED: dict[str, tuple[Service, ...]] = {
    "cluster": (
        # who needs Kafka needs all its brokers
        Service("kafka", False, ("kafka-2", "kafka-3"), SERVICES["kafka"].ports, _DATA),
        Service("kafka-2", False, (), (), _DATA),
        Service("kafka-3", False, (), (), _DATA),
    ),
    "simulator": (Service("simulator", False, ("bridge",), (), "its sensors are numbered from 1"),),
    "tools": (
        Service("pgadmin", False, ("postgres",), (), _DATA),
        Service("kafka-ui", False, ("kafka",), (), "its clients know a single address"),
    ),
}

#: Settings of this machine, or secret: the services in containers have values of their own.
_NOT_PASSED_ON = {
    *("state_dir", "stack", "profiles", "port_offset", "up_timeout_s", "kafka_heap_mb", "kafka_bootstrap", "instance"),
    *("mqtt_host", "mqtt_username", "mqtt_password", "postgres_dsn", "gateway_host", "gateway_url", "stats_host"),
    *("gateway_token", "gateway_tokens", "gateway_tls_cert", "gateway_tls_key", "gateway_plaintext"),
    *("gateway_published_on_loopback", "gateway_allowed_hosts", "metrics_targets", "postgres_reader_dsn"),
    *(port for service in SERVICES.values() for port in service.ports),
}


@dataclass(frozen=True)
class Plan:
    """What a project is made with; kept in the state directory, for the commands that follow."""

    profiles: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Project:
    """One compose project."""

    def __init__(self, state: StateDirectory) -> None:
        self.state = state
        self.folder = state.path / "compose"
        self.name = "bdemo" if state.path == default_state_dir().resolve() else f"bdemo-{_digest(state.path)}"
        self._plan_file = self.folder / "plan.json"
        self._copies_file = self.folder / "copies.json"
        self.targets = self.folder / "targets"
        """What Prometheus scrapes; it reads the files of this folder."""

    # -- what it is made with

    @property
    def exists(self) -> bool:
        """Whether there has ever been one."""
        return self._plan_file.is_file()

    def plan(self) -> Plan:
        """As it was saved; an empty one when there is none."""
        try:
            return Plan(**json.loads(self._plan_file.read_text()))
        except (OSError, ValueError, TypeError):
            return Plan()

    def save(self, settings: Settings, *, offset: int, any_port: bool) -> Settings:
        """Keeps the plan that these settings make; the settings, with all addresses. Raises ConfigurationInvalid."""
        before = self.plan()
        if before.environment and ("cluster" in before.profiles) != ("cluster" in settings.profiles):
            brokers = "three brokers" if "cluster" in before.profiles else "one broker"
            raise ConfigurationInvalid(
                f"the stack of {self.state.path} has had {brokers} so far, and their data cannot be taken over",
                hint="delete them with bdemo down --wipe, or choose another --state-dir",
            )
        ports = _own_ports(offset, any_port=any_port)
        settings = _addressed(settings, ports)
        environment = {
            **{name: str(port) for name, port in ports.items()},
            **{name: str(getattr(settings, setting)) for name, setting in PORTS.items()},
            **_passed_on(settings),
            "KAFKA_HEAP_MB": str(settings.kafka_heap_mb),
            "SERVICES_IMAGE": image(),
            "PROMETHEUS_TARGETS": str(self.targets),
            "COMPOSE_PROFILES": "",
        }
        plan = {"profiles": settings.profiles, "environment": environment}
        self.folder.mkdir(exist_ok=True, mode=0o700)
        write_private(self._plan_file, json.dumps(plan, indent=1))
        self._forget_what_was_read()
        return settings

    # -- python-on-whales

    @cached_property
    def client(self) -> DockerClient:
        """Docker with the project's files and environment."""
        return self._client_with({})

    def starting(self, names: Sequence[str], *, with_needs: bool) -> Lines:
        """Starts services, with what they need, each when what it needs is ready; yields what compose says."""
        return self.client.compose.up(
            list(names), detach=True, no_build=True, pull="never", dependencies=with_needs, stream_logs=True
        )

    def building(self, context: Path) -> Lines:
        """Builds the image of our services from that folder; yields what the build says."""
        client = self._client_with({"BUILD_CONTEXT": str(context)})
        builders = [name for name, service in self.services.items() if "build" in service]
        return client.compose.build(builders, progress="plain", stream_logs=True)

    def _client_with(self, more: Mapping[str, str]) -> DockerClient:
        from python_on_whales import DockerClient

        plan = self.plan()
        overlays = [files() / f"{profile}.yaml" for profile in plan.profiles if profile in OVERLAYS]
        copies = [self._copies_file] if self._copies_file.is_file() else []
        pairs = [f"{name}={value}" for name, value in {**plan.environment, **more}.items()]
        return DockerClient(
            # above the environment of this process, where other values of the same names may be
            client_call=["env", *pairs, "docker"] if pairs else ["docker"],
            compose_files=[files() / "compose.yaml", *overlays, *copies],
            compose_profiles=[profile for profile in plan.profiles if profile not in OVERLAYS],
            compose_project_name=self.name,
        )

    @cached_property
    def services(self) -> dict[str, dict[str, Any]]:
        """The services of the files, as compose reads them, by name."""
        found: dict[str, dict[str, Any]] = self.client.compose.config(return_json=True)["services"]
        return found

    def _forget_what_was_read(self) -> None:
        self.__dict__.pop("client", None)
        self.__dict__.pop("services", None)

    # -- copies, and what each service needs

    def write_copies(self, names: Sequence[str]) -> None:
        """Makes services of the copies beyond the first: alike, but for the port of their metrics.

        Not compose's own `--scale`: its copies would have to share the one port of the host.
        """
        self._copies_file.unlink(missing_ok=True)
        self._forget_what_was_read()
        base = self.services
        copies = {name: _copy(base, name) for name in names if name not in base}
        if copies:
            write_private(self._copies_file, json.dumps({"services": copies}, indent=1))
            self._forget_what_was_read()

    def needs(self, name: str) -> list[str]:
        """The services that must be ready, or done, before this one is started."""
        return list(self.services[name].get("depends_on") or ())

    def with_needs(self, names: Sequence[str]) -> list[str]:
        """These services and all that they need, each after what it needs."""
        found: dict[str, None] = {}

        def add(name: str) -> None:
            for need in self.needs(name):
                add(need)
            found.setdefault(name)

        for name in names:
            add(name)
        return list(found)

    def ports(self, name: str) -> list[int]:
        """The host ports of a service."""
        return [int(port["published"]) for port in self.services[name].get("ports") or () if port.get("published")]


def table(profiles: Collection[str]) -> dict[str, Service]:
    """The services of a stack with these profiles."""
    added = {service.name: service for profile in profiles for service in _ADDED.get(profile, ())}
    known = services_of("compose")
    brokers = {name: each for name, each in added.items() if each in _ADDED["cluster"]}
    return {**brokers, **known, **added}


def files() -> Path:
    """The folder with compose.yaml: inside the package in a wheel, beside it in a checkout."""
    package = Path(backend_demo.__file__).parent
    inside = package / "compose"
    return inside if inside.is_dir() else package.parent / "compose"


def image() -> str:
    """The image of all services of ours."""
    return f"bdemo:{backend_demo.__version__}"


def _copy(base: Mapping[str, Any], name: str) -> dict[str, Any]:
    service, number = copy_of(name)
    copy = dict(base[service.name])
    step = STATS_PORT_STEP * (number - 1)
    copy["ports"] = [{**port, "published": str(int(port["published"]) + step)} for port in copy.get("ports") or ()]
    return copy


def _passed_on(settings: Settings) -> dict[str, str]:
    """The settings that compose.yaml hands to the services, from wherever they come on this machine."""
    values = settings.model_dump(mode="json", exclude=_NOT_PASSED_ON)
    return {
        f"BDEMO_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def _own_ports(offset: int, *, any_port: bool) -> dict[str, int]:
    """The ports of compose/.env that no setting holds, shifted or free. Raises ConfigurationInvalid."""
    from backend_demo.settings import read_env_file

    defaults = read_env_file(files() / ".env")
    named = {**defaults, **os.environ}
    names = [name for name in defaults if name.endswith("_HOST_PORT") and name not in PORTS]
    if any_port:
        with ExitStack() as held:
            return {name: _free_port(held) for name in names}
    ports = {}
    for name in names:
        if not named[name].isdecimal() or not 1 <= int(named[name]) + offset <= 65535:
            raise ConfigurationInvalid(f"{name} is {named[name]!r}, no port", hint="choose from 1 to 65535")
        ports[name] = int(named[name]) + offset
    return ports


def _addressed(settings: Settings, ports: Mapping[str, int]) -> Settings:
    if "cluster" not in settings.profiles:
        return settings
    brokers = [settings.kafka_bootstrap, *(f"{HOST}:{ports[name]}" for name in _BROKERS)]
    return settings.model_copy(update={"kafka_bootstrap": ",".join(brokers)})


def _free_port(held: ExitStack) -> int:
    listener = held.enter_context(socket.socket())
    listener.bind((HOST, 0))
    return int(listener.getsockname()[1])


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
