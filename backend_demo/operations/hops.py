"""How many readings have passed each hop of the pipeline, from the services' own metrics."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend_demo.errors import ServiceFailed

if TYPE_CHECKING:
    from backend_demo.settings import Settings

TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Hop:
    """A place that readings pass, and the counter that tells how many did."""

    name: str
    service: str
    counter: str


HOPS = (
    Hop("MQTT, acknowledged", "bridge", "bdemo_mqtt_acknowledged_total"),
    Hop("src-data", "collection", "sensor_values_sent_total"),
    Hop("processed-data", "processing", "sensor_values_sent_total"),
    Hop("aggregated-data", "aggregation", "sensor_values_sent_total"),
    Hop("table temperature", "loader", "sensor_values_loaded_total"),
    Hop("table average", "loader", "aggregated_values_loaded_total"),
)


def read(settings: Settings, ports: Mapping[str, Collection[int]]) -> dict[str, int]:
    """What each hop has counted since its service started, by the hop's name; all copies together.

    `ports`: where the copies of each service serve their metrics. Raises ServiceFailed.
    """
    counts = {
        service: [scrape(settings, service, port) for port in ports[service]]
        for service in dict.fromkeys(hop.service for hop in HOPS)
    }
    return {hop.name: round(sum(copy.get(hop.counter, 0.0) for copy in counts[hop.service])) for hop in HOPS}


def scrape(settings: Settings, service: str, port: int) -> Mapping[str, float]:
    """The metrics without labels of one copy of a service, by name. Raises ServiceFailed."""
    url = f"http://{settings.stats_host}:{port}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            lines = answer.read().decode().splitlines()
    except (urllib.error.URLError, OSError) as problem:
        raise ServiceFailed(f"{service} does not answer at {url}", hint="see: bdemo status") from problem
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#") and "{" not in line)
    return {name: float(value) for name, _, value in samples}
