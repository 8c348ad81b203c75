"""The table of services, in the order in which a reading meets them; both stacks are made from it."""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterable, Mapping

from backend_demo.domain.topics import PARTITIONS
from backend_demo.errors import UnknownName, UsageError
from backend_demo.stack.services.aggregation import AGGREGATION
from backend_demo.stack.services.bridge import BRIDGE
from backend_demo.stack.services.collection import COLLECTION
from backend_demo.stack.services.copies import copy_name, copy_names, most_copies, stats_port_of
from backend_demo.stack.services.gateway import GATEWAY
from backend_demo.stack.services.grafana import GRAFANA
from backend_demo.stack.services.kafka import KAFKA
from backend_demo.stack.services.kafka_cluster import CLUSTER
from backend_demo.stack.services.kafka_ui import KAFKA_UI
from backend_demo.stack.services.loader import LOADER
from backend_demo.stack.services.mosquitto import MOSQUITTO
from backend_demo.stack.services.mqtt import MQTT
from backend_demo.stack.services.pgadmin import PGADMIN
from backend_demo.stack.services.poll import POLL
from backend_demo.stack.services.postgres import POSTGRES
from backend_demo.stack.services.processing import PROCESSING
from backend_demo.stack.services.prometheus import PROMETHEUS
from backend_demo.stack.services.service import Addresses, Profile, Service
from backend_demo.stack.services.simulator import SIMULATOR


def _by_name(services: Iterable[Service]) -> dict[str, Service]:
    return {each.name: each for each in services}


#: The services of both stacks.
SERVICES = _by_name(
    (
        *(KAFKA, POSTGRES),
        *(MQTT, BRIDGE, POLL, COLLECTION, PROCESSING, AGGREGATION, LOADER, GATEWAY),
        PROMETHEUS,
    )
)

#: Services that only the compose stack has; on the embedded one they may be left out by name.
COMPOSE_ONLY = _by_name((GRAFANA,))

#: Additions to the compose stack.
PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        CLUSTER,
        MOSQUITTO,
        Profile("simulator", services=(SIMULATOR,)),
        Profile("tools", services=(PGADMIN, KAFKA_UI)),
    )
}

#: The services that a reading cannot do without, whatever the settings.
PIPELINE = tuple(name for name, each in SERVICES.items() if not each.optional and not each.asked_for)

#: The names of our services.
OURS = tuple(name for name, each in SERVICES.items() if each.ours)


def services_of(stack: str, profiles: Collection[str] = ()) -> dict[str, Service]:
    """The table of a kind of stack, `embedded` or `compose`, with these profiles."""
    if stack == "embedded":
        return SERVICES
    known = {**SERVICES, **COMPOSE_ONLY}
    added = _by_name(each for profile in profiles for each in PROFILES[profile].services)
    # what a profile puts in the place of a server is at the head of the table, as that one was
    first = _by_name(
        each
        for profile in profiles
        for each in PROFILES[profile].services
        if any(known.get(other.name, other) is not other for other in PROFILES[profile].services)
    )
    return {**first, **known, **added}


def every_service() -> dict[str, Service]:
    """All services that there may be, with every profile."""
    return services_of("compose", PROFILES)


def service(name: str, table: Mapping[str, Service] = SERVICES) -> Service:
    """Returns the service of that name. Raises UnknownName."""
    try:
        return table[name]
    except KeyError:
        raise UnknownName("service", name, table) from None


# -- which services


def not_asked_for(settings: Addresses, table: Mapping[str, Service] = SERVICES) -> set[str]:
    """The services that the settings do not ask for."""
    return {name for name, each in table.items() if each.asked_for and not each.asked_for(settings)}


def with_needs(
    services: Collection[str],
    *,
    without: Collection[str] = (),
    not_asked: Collection[str] = (),
    table: Mapping[str, Service] = SERVICES,
) -> list[str]:
    """The names of these services and of all that they need, in the order of the table.

    No services: all but `without` and those that are not asked for.
    Raises UnknownName; UsageError when something is left out that another one needs.
    """
    for name in (*services, *without):
        if name not in table and name not in COMPOSE_ONLY:
            raise UnknownName("service", name, {**table, **COMPOSE_ONLY})
    for name in services:
        if name not in table:
            raise UsageError(
                f"only the compose stack has {name}", hint=f"to start it, run: bdemo up --stack compose {name}"
            )
        if name in without:
            raise UsageError(f"{name} is both named and left out", hint="name it or leave it out, not both")
    wanted = set(services) or set(table) - {*without, *not_asked}
    while more := {need for name in wanted for need in table[name].needs} - wanted:
        wanted |= more
    for name in table:
        if name in wanted and name in without:
            users = [user for user in table if user in wanted and name in table[user].needs]
            raise UsageError(
                f"{name} cannot be left out: {', '.join(users)} {'needs' if len(users) == 1 else 'need'} it",
                hint="also leave out: " + " ".join(f"--without {user}" for user in users),
            )
    return [name for name in table if name in wanted]


# -- which copies


def copy_of(name: str, table: Mapping[str, Service] = SERVICES) -> tuple[Service, int]:
    """Service and number of the copy of that name; `processing-1` is also the first one. Raises UnknownName."""
    match = re.fullmatch(r"([a-z]+)-([1-9])", name)
    if match and (entry := table.get(match[1])) and int(match[2]) <= most_copies(entry):
        return entry, int(match[2])
    return service(name, table), 1


def chosen(name: str, copies: Mapping[str, int], table: Mapping[str, Service] = SERVICES) -> list[str]:
    """The copies that a name means, given how many there are: `processing` means all, `processing-2` one.

    Raises UnknownName, also for a copy that does not exist.
    """
    entry, number = copy_of(name, table)
    count = copies.get(entry.name, 1)
    if name == entry.name:
        return copy_names(name, count)
    if number > count:
        raise UnknownName("copy", name, copy_names(entry.name, count))
    return [copy_name(entry.name, number)]


def shown(wanted: Mapping[str, int], running: Container[str], table: Mapping[str, Service] = SERVICES) -> list[str]:
    """The copies that run or should run, and the first copy of every service that need not be asked for."""
    return [
        name
        for entry in table.values()
        for number, name in enumerate(copy_names(entry.name, most_copies(entry)), 1)
        if number <= wanted.get(entry.name, 0 if entry.asked_for else 1) or name in running
    ]


def stats_port(name: str, addresses: Addresses) -> int:
    """Where that copy of a service of ours serves its metrics."""
    return stats_port_of(*copy_of(name), addresses)


def stats_ports(addresses: Addresses, copies: Mapping[str, int]) -> dict[str, list[int]]:
    """Where all copies of each service of ours serve their metrics, by the service's name."""
    return {
        each.name: [stats_port_of(each, number, addresses) for number in range(1, count + 1)]
        for each, count in counted(copies)
    }


def counted(copies: Mapping[str, int]) -> list[tuple[Service, int]]:
    """Those of our services that are among them, each with the number of its copies."""
    return [(SERVICES[name], count) for name, count in copies.items() if name in OURS]


# -- whose passwords there are


def users(table: Mapping[str, Service] = SERVICES) -> tuple[str, ...]:
    """Every user that has a password."""
    of_servers = (user for each in table.values() for user in each.users)
    return (*of_servers, *(each.kafka_user for each in table.values() if each.kafka_user))


def secrets_of(table: Mapping[str, Service] = SERVICES) -> list[tuple[str, str, tuple[str, ...]]]:
    """Every user that has a password, with the server that asks for it and the services that use it."""
    found: dict[str, tuple[str, list[str]]] = {user: (each.name, []) for each in table.values() for user in each.users}
    for each in table.values():
        if each.kafka_user:
            found[each.kafka_user] = (KAFKA.name, [])
        for user in {each.kafka_user, each.mqtt_user, each.postgres_user} & found.keys():
            found[user][1].append(each.name)
    return [(user, server, tuple(services)) for user, (server, services) in found.items()]


def check_copies(
    copies: Mapping[str, int], *, among: Collection[str] | None = None, table: Mapping[str, Service] = SERVICES
) -> None:
    """Checks numbers of copies. Raises UnknownName; UsageError for a number that is not possible.

    `among`: the services that will be started, if not all of them.
    """
    for name, count in copies.items():
        entry = service(name, table)
        if among is not None and name not in among:
            raise UsageError(
                f"{name}={count}: {name} is not among the services to start", hint="name it, or do not leave it out"
            )
        if count < 1:
            raise UsageError(
                f"{name}={count}: a service has at least one copy",
                hint=f"to run without it: bdemo down, then bdemo up --without {name}",
            )
        if count > 1 and entry.single:
            several = [other.name for other in table.values() if not other.single]
            raise UsageError(
                f"{name}={count}: there can be only one {name}: {entry.single}",
                hint=f"services that can have more copies: {', '.join(several)}",
            )
        if count > most_copies(entry):
            raise UsageError(
                f"{name}={count}: its topics have {PARTITIONS} partitions, so more copies than that would be idle",
                hint=f"choose a number from 1 to {PARTITIONS}",
            )
