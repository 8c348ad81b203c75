"""A port that all copies of a service share: a container that only holds it, in whose network the copies listen.

Each copy binds the same port (SO_REUSEPORT), and the kernel shares the connections out. What differs among them is
where they serve their metrics: as in the embedded stack, each on a port of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from backend_demo.stack.compose.containers import Container
from backend_demo.stack.services.container import SERVICE, default, environment
from backend_demo.stack.services.copies import STATS_PORT_STEP, most_copies
from backend_demo.stack.services.round_trip import HOST
from backend_demo.stack.services.service import Service
from backend_demo.stack.services.table import SERVICES

_SUFFIX = "-port"

#: The services whose copies share a port.
SHARING = {service.name: service for service in SERVICES.values() if service.shares_port}


def holder_of(service: str) -> str:
    """The name of the container that holds the service's port."""
    return f"{service}{_SUFFIX}"


def held_for(name: str) -> str:
    """The service that a container publishes ports for: its own name, if it is no holder."""
    service = name.removesuffix(_SUFFIX)
    return service if service in SHARING else name


def container(service: Service, published: list[str]) -> dict[str, Any]:
    """The holder: known to the others by the service's name."""
    return {
        "<<": SERVICE,
        "command": ["sleep", "infinity"],
        "ports": published,
        "networks": {"default": {"aliases": [service.name]}},
    }


def of_copies(variables: Mapping[str, str]) -> dict[str, Any]:
    """What is added to the holders for copies to come: the ports of their metrics, after the first one's."""
    return {holder_of(name): {"ports": _of_metrics(service, variables)} for name, service in SHARING.items()}


def _of_metrics(service: Service, variables: Mapping[str, str]) -> list[str]:
    first, inside = int(variables[service.listens[-1].variable]), default(service.stats_port)
    steps = [STATS_PORT_STEP * number for number in range(1, most_copies(service))]
    return [f"{HOST}:{first + step}:{inside + step}" for step in steps]


def copy(service: Service, number: int, first: Mapping[str, Any]) -> dict[str, Any]:
    """A copy beside the first one."""
    port = default(service.stats_port)
    own = str(port + STATS_PORT_STEP * (number - 1))
    check = first["healthcheck"]
    return {
        **first,
        "environment": {**first["environment"], **environment({service.stats_port: own})},
        "healthcheck": {**check, "test": [own if word == str(port) else word for word in check["test"]]},
    }


def cut_off(found: Mapping[str, Container]) -> list[Container]:
    """Containers that run in the network of a holder that has ended: they reach nobody any more."""
    gone = {service for service in SHARING if not (holder_of(service) in found and found[holder_of(service)].runs)}
    return [each for each in found.values() if each.runs and _service(each.name) in gone]


def idle_holders(found: Mapping[str, Container]) -> list[Container]:
    """The holders none of whose copies runs: the port is free for a process of this machine when they end."""
    busy = {_service(each.name) for each in found.values() if each.runs}
    return [found[holder_of(name)] for name in SHARING if name not in busy and holder_of(name) in found]


def holders_for(names: Iterable[str], found: Mapping[str, Container]) -> list[Container]:
    """The holders that these copies need."""
    needed = {holder_of(_service(name)) for name in names}
    return [found[name] for name in needed if name in found]


def _service(copy_name: str) -> str:
    """The service of a copy; a holder's own name stands for itself."""
    name, _, number = copy_name.partition("-")
    return name if number.isdecimal() else copy_name
