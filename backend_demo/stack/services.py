"""The table of services: what each is called, needs and where it listens; both stacks are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from backend_demo.errors import UnknownName


@dataclass(frozen=True)
class Service:
    """One process of the stack. A *server* is somebody else's program, a *stage* or the gateway is ours."""

    name: str
    ours: bool
    needs: tuple[str, ...]
    ports: tuple[str, ...]
    """Settings that hold the ports it listens on, the one that clients use first."""


SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        Service("kafka", False, (), ("kafka_port", "kafka_controller_port")),
        Service("mqtt", False, (), ("mqtt_port", "nats_port")),
        Service("postgres", False, (), ("postgres_port",)),
        Service("bridge", True, ("kafka", "mqtt"), ("bridge_stats_port",)),
        Service("collection", True, ("kafka",), ("collection_stats_port",)),
        Service("processing", True, ("kafka",), ("processing_stats_port",)),
        Service("aggregation", True, ("kafka",), ("aggregation_stats_port",)),
        Service("loader", True, ("kafka", "postgres"), ("loader_stats_port",)),
        Service("gateway", True, ("postgres",), ("gateway_port", "gateway_stats_port")),
    )
}


def service(name: str) -> Service:
    """The service of that name. Raises UnknownName."""
    try:
        return SERVICES[name]
    except KeyError:
        raise UnknownName("service", name, SERVICES) from None
