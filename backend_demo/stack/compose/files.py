"""The compose files, made from the services: `python -m backend_demo.stack.compose` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from backend_demo.settings import Settings
from backend_demo.stack.compose import migrate, setup, shared_port
from backend_demo.stack.compose.project import image, passed_on
from backend_demo.stack.compose.yaml import document
from backend_demo.stack.services import prometheus
from backend_demo.stack.services.container import (
    Alias,
    Anchor,
    Note,
    default,
    environment,
    secrets_volume,
)
from backend_demo.stack.services.round_trip import HOST
from backend_demo.stack.services.service import OneShot, Port, Service, Variable
from backend_demo.stack.services.table import (
    PROFILES,
    SERVICES,
    counted,
    every_service,
    not_asked_for,
    with_needs,
)

NOTICE = "Made by python -m backend_demo.stack.compose from backend_demo/stack/services: edit those files.\n"

HEADER = (
    NOTICE
    + """\
The whole system as containers: docker compose -f compose/compose.yaml up -d --build
Three brokers: add -f compose/cluster.yaml; mosquitto and the bridge in the place of the proxy: --profile mosquitto.
Versions and host ports: compose/.env. What is what, and why: docs/how-to/containers.md.
"""
)

ENV_HEADER = (
    NOTICE
    + """\
Versions and host ports of the containers; the names are those of the original's .env where it had one.
A version may carry the digest of its image: 4.2.2@sha256:...
The environment of `docker compose` takes precedence over this file.
"""
)

#: The condition under which something starts after what does one thing and ends.
_DONE = {"condition": "service_completed_successfully"}

#: The order of a container's keys.
_KEYS = (
    *("<<", "profiles", "build", "image", "hostname", "user", "command", "environment", "network_mode", "networks"),
    *("ports", "volumes", "tmpfs"),
    *("mem_limit", "pids_limit", "stop_signal", "stop_grace_period", "healthcheck", "depends_on"),
)


def all_files() -> dict[str, str]:
    """The text of every file that is made, by its path below compose/."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    running = with_needs((), not_asked=not_asked_for(defaults))
    targets = prometheus.targets(counted(dict.fromkeys(running, 1)), prometheus.container_address)
    overlays = {
        f"{profile.name}.yaml": document(
            profile.overlay(SERVICES),
            f"{NOTICE}docker compose -f compose/compose.yaml -f compose/{profile.name}.yaml up -d --build\n"
            f"{profile.header}",
        )
        for profile in PROFILES.values()
        if profile.overlay
    }
    return {
        "compose.yaml": document(compose(), HEADER),
        **overlays,
        ".env": env_file(),
        f"prometheus/targets/{prometheus.TARGETS}": prometheus.text_of(targets),
    }


def write(folder: Path) -> list[Path]:
    """Writes the files below a folder; returns their paths."""
    written = []
    for name, text in all_files().items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        written.append(file)
    return written


def compose() -> dict[str, Any]:
    """compose.yaml as a mapping."""
    services = containers()
    return {"name": "bdemo", **_shared(), "services": services, "volumes": _volumes(services)}


def containers() -> dict[str, Any]:
    """The containers of compose.yaml by name: the one-shots, the services, those of a profile."""
    profiles = {
        service.name: profile.name
        for profile in PROFILES.values()
        if not profile.overlay
        for service in profile.services
    }
    found = {
        setup.NAME: Note("once, before the servers: passwords and configuration files", _sorted(setup.container())),
        migrate.NAME: Note("once, when the servers answer: what they must hold", _sorted(_migrate())),
    }
    # a profile with an overlay replaces services in that file, not here
    for name, service in {**every_service(), **SERVICES}.items():
        if service.shares_port:
            note = f"holds the port that the copies of {name} share"
            found[shared_port.holder_of(name)] = Note(
                note, _sorted(shared_port.container(service, _all_published(service)))
            )
        if service.before:
            note = f"once, before {name}: {service.before.about}"
            found[service.before_name] = Note(note, _sorted(_before(service, service.before)))
        if service.container:
            found[name] = Note(service.about, _container(service, profiles.get(name)))
    return found


def _shared() -> dict[str, Any]:
    """What containers have in common."""
    hardened = {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 100,
        "restart": "unless-stopped",
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
    }
    found_at = {name: value for each in SERVICES.values() for name, value in (each.client_settings or {}).items()}
    own = environment({"state_dir": "/tmp/bdemo", **found_at, "stats_host": "0.0.0.0"})  # noqa: S104, S108 - inside
    inherited = [f"BDEMO_{name.upper()}" for name in Settings.model_fields if passed_on(name)]
    settings = {
        **own,
        inherited[0]: Note("passed on from the environment of `docker compose`, if they are set there", None),
        **dict.fromkeys(inherited[1:]),
    }
    service = {
        "<<": Alias("hardened"),
        "image": str(Variable("SERVICES_IMAGE", image())),
        "init": True,
        "tmpfs": ["/tmp:size=64m"],  # noqa: S108 - in the container
        "mem_limit": "512m",
        "stop_grace_period": Note("a service ends within 8 s: it finishes and commits what it is doing", "15s"),
        "environment": Alias("settings"),
    }
    health = {"interval": "5s", "timeout": "5s", "retries": 3, "start_period": "60s"}
    return {
        "x-hardened": Note("what every container is given", Anchor("hardened", hardened)),
        "x-settings": Anchor("settings", settings),
        "x-service": Note("all Python services are this image, which `setup` builds", Anchor("service", service)),
        "x-once": Anchor("once", {"<<": Alias("service"), "restart": "on-failure:3"}),
        "x-health": Note("a check costs about 50 ms of CPU, so they are not more frequent", Anchor("health", health)),
    }


def _container(service: Service, profile: str | None) -> dict[str, Any]:
    """A service's own form, with what follows from the other things that are known of it."""
    assert service.container is not None  # noqa: S101 - narrows a type
    own = dict(service.container())
    if profile:
        own["profiles"] = [profile]
    if service.shares_port:
        own["network_mode"] = f"service:{shared_port.holder_of(service.name)}"
    elif published := _all_published(service):
        own["ports"] = published
    if service.secret_files:
        own["volumes"] = [*own.get("volumes", ()), secrets_volume(service.name)]
    if needs := _needs(service):
        own["depends_on"] = needs
    return _sorted(own)


def _migrate() -> dict[str, Any]:
    return {**migrate.container(), "volumes": [secrets_volume(migrate.NAME)]}


def _before(service: Service, before: OneShot) -> dict[str, Any]:
    own = before.container()
    return {
        **own,
        "volumes": [*own.get("volumes", ()), secrets_volume(service.before_name)],
        "depends_on": {setup.NAME: _DONE},
    }


def _all_published(service: Service) -> list[str]:
    return [_published(port) for port in service.listens if port.variable]


def _published(port: Port) -> str:
    number = port_number(port)
    return f"{HOST}:{Variable(port.variable, str(number))}:{number}"


def port_number(port: Port) -> int:
    """The default of a port, which is also the port inside the container."""
    return int(default(port.setting)) if port.setting else port.number


def _needs(service: Service) -> dict[str, Any]:
    once = []
    if service.ours:
        once.append(migrate.NAME)
    elif service.before:
        once.append(service.before_name)
    elif service.secret_files and not any(_follows_setup(SERVICES[need]) for need in service.needs):
        once.append(setup.NAME)
    holder = {shared_port.holder_of(service.name): {"condition": "service_started"}} if service.shares_port else {}
    return {
        **holder,
        **dict.fromkeys(once, _DONE),
        **{name: {"condition": "service_healthy"} for name in service.needs},
    }


def _follows_setup(service: Service) -> bool:
    """Whether it starts after the passwords have been made."""
    return service.ours or bool(service.secret_files) or any(_follows_setup(SERVICES[name]) for name in service.needs)


def _volumes(services: Mapping[str, Any]) -> dict[str, None]:
    """The named volumes that containers mount: data first, then secrets."""
    found: dict[str, None] = {}
    for noted in services.values():
        for volume in noted.value.get("volumes", ()):
            entry = volume.value if isinstance(volume, Note) else volume
            source = entry.partition(":")[0] if isinstance(entry, str) else entry["source"]
            if source.replace("-", "").isalnum():
                found[source] = None
    return dict.fromkeys(sorted(found, key=lambda name: name.endswith("-secrets")))


def _sorted(container: Mapping[str, Any]) -> dict[str, Any]:
    return {key: container[key] for key in _KEYS if key in container}


# -- compose/.env


def env_file() -> str:
    """compose/.env: every variable with its default."""
    services = every_service().values()
    variables = [
        *setup.VARIABLES,
        *(variable for service in services for variable in service.variables),
        *(variable for profile in PROFILES.values() for variable in profile.variables),
    ]
    versions = [variable for variable in variables if variable.name.endswith("_VERSION")]
    ports = [
        Variable(port.variable, str(port_number(port)))
        for service in services
        for port in service.listens
        if port.variable
    ]
    others = [variable for variable in variables if variable not in versions]
    return (
        "".join(f"# {line}\n" for line in ENV_HEADER.splitlines())
        + _section("versions: those of the embedded stack, where it has the same server", versions)
        + _section("ports on 127.0.0.1", ports)
        + _section("users without their passwords, which are made at the first start; sensors of the simulator", others)
    )


def _section(title: str, variables: Iterable[Variable]) -> str:
    return f"\n# -- {title}\n" + "".join(f"{each.name}={each.value}\n" for each in variables)
