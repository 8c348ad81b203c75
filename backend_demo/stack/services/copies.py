"""Copies of a service: how they are called, how many there may be, and where each serves its metrics."""

from __future__ import annotations

from collections.abc import Mapping

from backend_demo.domain.topics import PARTITIONS
from backend_demo.stack.services.service import Addresses, Service

#: From one copy's metrics port to the next one's.
STATS_PORT_STEP = 100


def copy_name(service: str, number: int) -> str:
    """The name of a copy: `processing`, `processing-2`, `processing-3`."""
    return service if number == 1 else f"{service}-{number}"


def copy_names(service: str, count: int) -> list[str]:
    """The names of the first `count` copies."""
    return [copy_name(service, number) for number in range(1, count + 1)]


def all_copies(counts: Mapping[str, int]) -> list[str]:
    """The names of all copies, given the number of copies of each service."""
    return [name for service, count in counts.items() for name in copy_names(service, count)]


def most_copies(service: Service) -> int:
    """How many copies may run: each must have at least one partition."""
    return 1 if service.single else PARTITIONS


def stats_port_of(service: Service, number: int, addresses: Addresses) -> int:
    """Where a copy of a service of ours serves its metrics: each 100 above the one before."""
    return int(addresses[service.stats_port]) + STATS_PORT_STEP * (number - 1)
