"""The table of services: what each is called, needs and where it listens; both stacks are made from it."""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from typing import Any

from backend_demo.domain.topics import PARTITIONS
from backend_demo.errors import UnknownName, UsageError

#: From one copy's metrics port to the next one's.
STATS_PORT_STEP = 100

_SERVER = "its data belong to a single process"


@dataclass(frozen=True)
class Service:
    """One process of the stack. A *server* is somebody else's program, a *stage* or the gateway is ours."""

    name: str
    ours: bool
    needs: tuple[str, ...]
    ports: tuple[str, ...]
    """Settings that hold the ports it listens on, the one that clients use first."""
    single: str = ""
    """Why there is never more than one copy of it; empty: there may be one a partition."""
    optional: bool = False
    """It takes no part in the pipeline: embedded, `up` goes on without it, if it was not named."""


SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        Service("kafka", False, (), ("kafka_port", "kafka_controller_port"), _SERVER),
        Service("mqtt", False, (), ("mqtt_port", "nats_port"), _SERVER),
        Service("postgres", False, (), ("postgres_port",), _SERVER),
        Service(
            "bridge", True, ("kafka", "mqtt"), ("bridge_stats_port",), "its MQTT session belongs to a single client"
        ),
        Service("collection", True, ("kafka",), ("collection_stats_port",)),
        Service("processing", True, ("kafka",), ("processing_stats_port",)),
        Service("aggregation", True, ("kafka",), ("aggregation_stats_port",)),
        Service("loader", True, ("kafka", "postgres"), ("loader_stats_port",)),
        Service("gateway", True, ("postgres",), ("gateway_port", "gateway_stats_port"), "it listens on a single port"),
        Service("prometheus", False, (), ("prometheus_port",), _SERVER, optional=True),
    )
}

#: What a reading passes through, and cannot do without.
PIPELINE = tuple(name for name, entry in SERVICES.items() if not entry.optional)

#: Services that only the compose stack has; on the embedded one they may be left out by name.
COMPOSE_ONLY: dict[str, Service] = {
    service.name: service for service in (Service("grafana", False, ("prometheus",), (), _SERVER),)
}


def services_of(stack: str) -> dict[str, Service]:
    """The table of a kind of stack: `embedded` or `compose`."""
    return {**SERVICES, **COMPOSE_ONLY} if stack == "compose" else SERVICES


def service(name: str, table: Mapping[str, Service] = SERVICES) -> Service:
    """The service of that name. Raises UnknownName."""
    try:
        return table[name]
    except KeyError:
        raise UnknownName("service", name, table) from None


# -- which services


def with_needs(
    services: Collection[str], *, without: Collection[str] = (), table: Mapping[str, Service] = SERVICES
) -> list[str]:
    """These services (none: all but `without`) and what they need, in the order of the table.

    Raises UnknownName; UsageError when something is left out that another one needs.
    """
    for name in (*services, *without):
        if name not in table and name not in COMPOSE_ONLY:
            raise UnknownName("service", name, {**table, **COMPOSE_ONLY})
    for name in services:
        if name not in table:
            raise UsageError(f"only the compose stack has {name}", hint="start that one with: bdemo up --stack compose")
        if name in without:
            raise UsageError(f"{name} is both named and left out", hint="decide for one of them")
    wanted = set(services) or set(table) - set(without)
    while more := {need for name in wanted for need in table[name].needs} - wanted:
        wanted |= more
    for name in table:
        if name in wanted and name in without:
            users = [user for user in table if user in wanted and name in table[user].needs]
            raise UsageError(
                f"{name} cannot be left out: {', '.join(users)} {'needs' if len(users) == 1 else 'need'} it",
                hint="leave out as well: " + " ".join(f"--without {user}" for user in users),
            )
    return [name for name in table if name in wanted]


# -- how many copies


def copy_name(service_name: str, number: int) -> str:
    """What the copy is called: `processing`, `processing-2`, `processing-3`."""
    return service_name if number == 1 else f"{service_name}-{number}"


def copy_names(service_name: str, count: int) -> list[str]:
    """The names of the first `count` copies."""
    return [copy_name(service_name, number) for number in range(1, count + 1)]


def all_copies(copies: Mapping[str, int]) -> list[str]:
    """The names of so many copies of each service."""
    return [name for entry, count in copies.items() for name in copy_names(entry, count)]


def copy_of(name: str, table: Mapping[str, Service] = SERVICES) -> tuple[Service, int]:
    """Service and number of a copy, by its name; `processing-1` is the first one too. Raises UnknownName."""
    match = re.fullmatch(r"([a-z]+)-([1-9])", name)
    if match and (entry := table.get(match[1])) and int(match[2]) <= most_copies(entry):
        return entry, int(match[2])
    return service(name, table), 1


def chosen(name: str, copies: Mapping[str, int], table: Mapping[str, Service] = SERVICES) -> list[str]:
    """The copies that a name means, of as many as there are: `processing` all, `processing-2` one.

    Raises UnknownName, also for a copy that there is not.
    """
    entry, number = copy_of(name, table)
    count = copies.get(entry.name, 1)
    if name == entry.name:
        return copy_names(name, count)
    if number > count:
        raise UnknownName("copy", name, copy_names(entry.name, count))
    return [copy_name(entry.name, number)]


def shown(wanted: Mapping[str, int], running: Container[str], table: Mapping[str, Service] = SERVICES) -> list[str]:
    """The copies that are to run or do, and the first one of every service."""
    return [
        name
        for entry in table.values()
        for number, name in enumerate(copy_names(entry.name, most_copies(entry)), 1)
        if number <= wanted.get(entry.name, 1) or name in running
    ]


def most_copies(entry: Service) -> int:
    """How many copies may run: each has at least one partition."""
    return 1 if entry.single else PARTITIONS


def stats_port(name: str, addresses: Mapping[str, Any]) -> int:
    """Where that copy of a service of ours serves its metrics: each 100 above the one before."""
    entry, number = copy_of(name)
    return int(addresses[f"{entry.name}_stats_port"]) + STATS_PORT_STEP * (number - 1)


def stats_ports(addresses: Mapping[str, Any], copies: Mapping[str, int]) -> dict[str, list[int]]:
    """Where so many copies of each service of ours serve their metrics, by the service's name."""
    return {
        name: [stats_port(copy, addresses) for copy in copy_names(name, count)]
        for name, count in copies.items()
        if name in SERVICES and SERVICES[name].ours
    }


def check_copies(
    copies: Mapping[str, int], *, among: Collection[str] | None = None, table: Mapping[str, Service] = SERVICES
) -> None:
    """Raises UnknownName; UsageError when there cannot be so many, or a service is not `among` those to be started."""
    for name, count in copies.items():
        entry = service(name, table)
        if among is not None and name not in among:
            raise UsageError(f"{name}={count}: {name} is not to be started", hint="name it, or do not leave it out")
        if count < 1:
            raise UsageError(
                f"{name}={count}: there is one copy at least",
                hint=f"to run without it: bdemo down, then bdemo up --without {name}",
            )
        if count > 1 and entry.single:
            several = [other.name for other in table.values() if not other.single]
            raise UsageError(
                f"{name}={count}: there can be one {name} only, as {entry.single}",
                hint=f"services that can have copies: {', '.join(several)}",
            )
        if count > most_copies(entry):
            raise UsageError(
                f"{name}={count}: its topics have {PARTITIONS} partitions, so more copies would have nothing to do",
                hint=f"choose 1 to {PARTITIONS}",
            )
