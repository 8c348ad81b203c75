"""The compose project of a state directory: its name, its files, and the environment that they are read with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend_demo import __version__
from backend_demo.errors import ConfigurationInvalid
from backend_demo.places import compose_files, default_state_dir
from backend_demo.stack.compose import shared_port
from backend_demo.stack.services.copies import STATS_PORT_STEP
from backend_demo.stack.services.kafka_users import CLIENT_SETTINGS
from backend_demo.stack.services.service import Port
from backend_demo.stack.services.table import PROFILES, SERVICES, copy_of, every_service
from backend_demo.stack.state.directory import StateDirectory
from backend_demo.stack.state.files import write_private

if TYPE_CHECKING:
    from python_on_whales import DockerClient

    from backend_demo.settings import Settings

#: What python-on-whales yields while a command runs: the stream's name, and a line.
OutputLines = Iterable[tuple[str, bytes]]

#: Settings that belong to this machine or are secret: services in containers have values of their own.
_NOT_PASSED_ON = {
    *("state_dir", "stack", "profiles", "port_offset", "up_timeout_s", "kafka_heap_mb", "kafka_jvm_options"),
    *("kafka_bootstrap", "instance"),
    *("topic_replication", "kafka_security_protocol", "kafka_sasl_mechanism", "kafka_username", "kafka_password"),
    *("kafka_ca_file", "kafka_client_cert", "kafka_client_key"),
    *("mqtt_host", "mqtt_username", "mqtt_password", "postgres_dsn", "gateway_host", "gateway_url", "stats_host"),
    *("gateway_token", "gateway_tokens", "gateway_tls_cert", "gateway_tls_key", "gateway_plaintext"),
    *("gateway_published_on_loopback", "gateway_allowed_hosts", "metrics_targets", "postgres_reader_dsn"),
    *("mqtt_users_file", "mqtt_listen_host", "listen", "tls_cert", "tls_key", "network_tokens", "gateway_private"),
    *("mqtt_tls", "mqtt_ca_file", "mqtt_client_cert", "mqtt_client_key"),
    *(port for service in SERVICES.values() for port in service.ports),
}


@dataclass(frozen=True)
class ProjectPlan:
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
        self._ports_file = self.folder / "ports.json"
        self.targets = self.folder / "targets"
        """What Prometheus scrapes; it reads the files of this folder."""

    # -- what it is made with

    @property
    def exists(self) -> bool:
        """Whether there has ever been one."""
        return self._plan_file.is_file()

    def plan(self) -> ProjectPlan:
        """As it was saved; an empty one when there is none."""
        try:
            return ProjectPlan(**json.loads(self._plan_file.read_text()))
        except (OSError, ValueError, TypeError):
            return ProjectPlan()

    def save(self, settings: Settings, *, offset: int, any_port: bool) -> Settings:
        """Keeps the plan that these settings make; the settings, with all addresses. Raises ConfigurationInvalid."""
        before = self.plan()
        for profile in PROFILES.values():
            if profile.own_data and before.environment:
                self._check_data(profile.name, before.profiles, settings.profiles)
        ports = _own_ports(offset, any_port=any_port)
        settings = with_profiles(settings).model_copy(update=CLIENT_SETTINGS)
        for name in settings.profiles:
            if addressed := PROFILES[name].addressed:
                settings = settings.model_copy(update=addressed(settings.model_dump(), ports))
        environment = {
            **{name: str(port) for name, port in ports.items()},
            **_ports_of(settings),
            **_passed_on(settings),
            "KAFKA_HEAP_MB": str(settings.kafka_heap_mb),
            "KAFKA_JVM_OPTIONS": " ".join(settings.kafka_jvm_options),
            "SERVICES_IMAGE": image(),
            "PROMETHEUS_TARGETS": str(self.targets),
            "COMPOSE_PROFILES": "",
        }
        plan = {"profiles": settings.profiles, "environment": environment}
        self.folder.mkdir(exist_ok=True, mode=0o700)
        write_private(self._plan_file, json.dumps(plan, indent=1))
        write_private(self._ports_file, json.dumps({"services": shared_port.of_copies(environment)}, indent=1))
        self._forget_what_was_read()
        return settings

    def _check_data(self, profile: str, before: Collection[str], wanted: Collection[str]) -> None:
        """Raises ConfigurationInvalid when the stack has data that cannot be used with, or without, the profile."""
        if (profile in before) != (profile in wanted):
            had, wants = ("with", "without") if profile in before else ("without", "with")
            raise ConfigurationInvalid(
                f"the stack in {self.state.path} was made {had} --profile {profile}, "
                f"and its data cannot be used {wants} it",
                hint="delete them with bdemo down --wipe, or choose another --state-dir",
            )

    # -- python-on-whales

    @cached_property
    def client(self) -> DockerClient:
        """Docker with the project's files and environment."""
        return self._client_with({})

    def starting(self, names: Sequence[str], *, with_needs: bool) -> OutputLines:
        """Starts services, with what they need, each when what it needs is ready; yields what compose says."""
        return self.client.compose.up(
            list(names), detach=True, no_build=True, pull="never", dependencies=with_needs, stream_logs=True
        )

    def building(self, context: Path) -> OutputLines:
        """Builds the image of our services from that folder; yields what the build says."""
        client = self._client_with({"BUILD_CONTEXT": str(context)})
        builders = [name for name, service in self.services.items() if "build" in service]
        return client.compose.build(builders, progress="plain", stream_logs=True)

    def _client_with(self, more: Mapping[str, str]) -> DockerClient:
        from python_on_whales import DockerClient

        plan = self.plan()
        overlays = [name for name in plan.profiles if PROFILES[name].overlay]
        more_files = [file for file in (self._ports_file, self._copies_file) if file.is_file()]
        pairs = [f"{name}={value}" for name, value in {**plan.environment, **more}.items()]
        return DockerClient(
            # above the environment of this process, where other values of the same names may be
            client_call=["env", *pairs, "docker"] if pairs else ["docker"],
            compose_files=[*(compose_files() / f"{name}.yaml" for name in ("compose", *overlays)), *more_files],
            compose_profiles=[name for name in plan.profiles if name not in overlays],
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

        Not compose's own `--scale`: its copies would have to share that port.
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


def with_profiles(settings: Settings) -> Settings:
    """The settings, with those that go with their profiles."""
    more = {name: value for profile in settings.profiles for name, value in PROFILES[profile].settings.items()}
    return settings.model_copy(update=more)


def image() -> str:
    """The image of all services of ours."""
    return f"bdemo:{__version__}"


def passed_on(setting: str) -> bool:
    """Whether services in containers are given this setting of the environment."""
    return setting not in _NOT_PASSED_ON


def _copy(base: Mapping[str, Any], name: str) -> dict[str, Any]:
    service, number = copy_of(name)
    if service.shares_port:
        return shared_port.copy(service, number, base[service.name])
    copy = dict(base[service.name])
    step = STATS_PORT_STEP * (number - 1)
    copy["ports"] = [{**port, "published": str(int(port["published"]) + step)} for port in copy.get("ports") or ()]
    return copy


def _passed_on(settings: Settings) -> dict[str, str]:
    """The settings that compose.yaml passes on to the services, whatever their source on this machine."""
    values = settings.model_dump(mode="json", exclude=_NOT_PASSED_ON)
    return {
        f"BDEMO_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def _own_ports(offset: int, *, any_port: bool) -> dict[str, int]:
    """The ports that no setting holds, by their variables, shifted or free. Raises ConfigurationInvalid."""
    own = {port.variable: port.number for port in _published() if not port.setting}
    if any_port:
        from backend_demo.stack import ports as stack_ports  # imports pydantic, which `status` has no time for

        with ExitStack() as held:
            return {name: stack_ports.unused(held) for name in own}
    chosen = {}
    for name, number in own.items():
        value = os.environ.get(name, str(number))
        if not value.isdecimal() or not 1 <= int(value) + offset <= 65535:
            shifted = f" with port offset {offset}" if offset else ""
            raise ConfigurationInvalid(
                f"invalid port {value!r} in {name}{shifted}", hint="choose a number from 1 to 65535"
            )
        chosen[name] = int(value) + offset
    return chosen


def _ports_of(settings: Settings) -> dict[str, str]:
    """The ports that settings hold, by their variables."""
    return {port.variable: str(getattr(settings, port.setting)) for port in _published() if port.setting}


def _published() -> list[Port]:
    """The ports that containers publish."""
    return [port for service in every_service().values() for port in service.listens if port.variable]


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
