"""How many readings have passed each hop of the pipeline, from the services' own metrics."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend_demo.errors import ServiceFailed
from backend_demo.operations.observe.samples import Address, Reader

if TYPE_CHECKING:
    from backend_demo.settings import Settings


@dataclass(frozen=True)
class Hop:
    """A place that readings pass, and the metric that counts them."""

    name: str
    services: tuple[str, ...]
    """Those of them that run count it together."""
    counter: str


HOPS = (
    Hop("MQTT, acknowledged", ("mqtt", "bridge"), "bdemo_mqtt_acknowledged_total"),
    Hop("src-data", ("collection",), "sensor_values_sent_total"),
    Hop("processed-data", ("processing",), "sensor_values_sent_total"),
    Hop("aggregated-data", ("aggregation",), "sensor_values_sent_total"),
    Hop("table temperature", ("loader",), "sensor_values_loaded_total"),
    Hop("table average", ("loader",), "aggregated_values_loaded_total"),
)


def read(settings: Settings, ports: Mapping[str, Collection[int]]) -> dict[str, int]:
    """The count of each hop since its service started, by the hop's name; all copies together.

    `ports`: where the copies of each service serve their metrics. Raises ServiceFailed.
    """
    addresses = {
        (service, port): Address(settings.stats_host, port)
        for service in dict.fromkeys(service for hop in HOPS for service in hop.services)
        for port in ports.get(service, ())
    }
    with Reader({hop.counter for hop in HOPS}) as reader:
        copies = reader.read(addresses).copies
    counts = dict.fromkeys((hop.name for hop in HOPS), 0)
    for (service, port), samples in copies.items():
        if samples is None:
            url = addresses[service, port].url
            raise ServiceFailed(f"{service} does not answer at {url}", hint="see: bdemo status")
        for hop in HOPS:
            if service in hop.services:
                counts[hop.name] += round(samples.get(hop.counter, {}).get((), 0.0))
    return counts
