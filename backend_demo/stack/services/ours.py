"""What our services have in common: the process `bdemo run`, the gauge that says ready, the image."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from backend_demo.stack.services import copies, postgres, round_trip
from backend_demo.stack.services.container import SERVICE, SETTINGS, default, environment, health
from backend_demo.stack.services.kafka_users import PROTOCOL
from backend_demo.stack.services.service import Addresses, Health, Passwords, Port, Program, Service, WaitingFor

if TYPE_CHECKING:
    from backend_demo.settings import Settings
    from backend_demo.stack.state.directory import StateDirectory


def our_service(
    name: str,
    *,
    about: str,
    entry_point: str,
    needs: tuple[str, ...],
    stats_variable: str,
    listens: tuple[Port, ...] = (),
    container: Callable[[], Mapping[str, Any]] | None = None,
    **more: Any,
) -> Service:
    """A service of ours; `container` adds to the form that all of them have."""

    def programs(settings: Settings, state: StateDirectory, report: Callable[[str], None]) -> list[Program]:
        # copies that there may be later are known from the start; supervisord starts none by itself
        return [_program(copy, state) for copy in copies.copy_names(name, copies.most_copies(service))]

    def secret_files(settings: Settings, passwords: Passwords) -> dict[str, str]:
        return credentials(service, passwords)

    def as_container() -> dict[str, Any]:
        return {**_container(service), **(container() if container else {})}

    def probe(number: int, addresses: Addresses, state: StateDirectory) -> Health:
        # ready: its session exists, its partitions are assigned
        status, page = round_trip.get(copies.stats_port_of(service, number, addresses), "/metrics")
        lines = page.splitlines() if status == 200 else []
        if ready_line(name) in lines:
            return "ready"
        if rebalancing_line(name) in lines:
            return "rebalancing"
        since = next((line.split()[1] for line in lines if line.startswith(f"{_unreachable(name)} ")), "0")
        return WaitingFor("Kafka", float(since)) if float(since) else "down"

    known: dict[str, Any] = {
        "probe": probe,
        "programs": programs,
        "secret_files": secret_files if {"mqtt_user", "postgres_user", "kafka_rights"} & more.keys() else None,
    }
    service = Service(
        name=name,
        about=about,
        entry_point=entry_point,
        needs=needs,
        listens=(*listens, Port(f"{name}_stats_port", stats_variable)),
        container=as_container,
        **{**known, **more},
    )
    return service


def _unreachable(name: str) -> str:
    return f'bdemo_kafka_unreachable_since_seconds{{service="{name}"}}'


def ready_line(name: str) -> str:
    """The line of its metrics by which a service says that it can work."""
    return f'bdemo_service_ready{{service="{name}"}} 1.0'


def rebalancing_line(name: str) -> str:
    """The line of its metrics by which a service says that it will work again when its group has settled."""
    return f'bdemo_service_rebalancing{{service="{name}"}} 1.0'


def credentials(service: Service, passwords: Passwords) -> dict[str, str]:
    """The secrets of a service, as settings read them."""
    found = {}
    if service.kafka_user:
        found["bdemo_kafka_password"] = passwords[service.kafka_user]
    if service.mqtt_user:
        found["bdemo_mqtt_password"] = passwords[service.mqtt_user]
    if service.postgres_user:
        found["bdemo_postgres_dsn"] = postgres.container_dsn(service.postgres_user, passwords)
    return found


def settings_of(service: Service, **more: Any) -> dict[str, Any]:
    """The settings of its container: the common ones, and those of its own."""
    if service.kafka_user:
        more |= environment({"kafka_security_protocol": PROTOCOL, "kafka_username": service.kafka_user})
    if service.mqtt_user:
        more |= environment({"mqtt_username": service.mqtt_user})
    return {"<<": SETTINGS, **more}


def _container(service: Service) -> dict[str, Any]:
    own = {"environment": settings_of(service)} if service.mqtt_user or service.kafka_user else {}
    return {
        "<<": SERVICE,
        "command": ["bdemo", "run", service.name, "--standalone"],
        **own,
        # healthy while it rebalances too: that passes by itself
        "healthcheck": health(
            [
                *("CMD", "healthcheck", str(default(service.stats_port)), "/metrics"),
                *(ready_line(service.name), rebalancing_line(service.name)),
            ]
        ),
    }


def _program(copy: str, state: StateDirectory) -> Program:
    command = (sys.executable, "-m", "backend_demo", "run", copy, "--supervised", "--state-dir", str(state.path))
    return Program(copy, "services", command)
