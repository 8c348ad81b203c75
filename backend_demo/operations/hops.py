"""How many readings have passed each hop of the pipeline, from the services' own metrics."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
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


def read(settings: Settings) -> dict[str, int]:
    """What each hop has counted since its service started, by the hop's name. Raises ServiceFailed."""
    metrics = {service: scrape(settings, service) for service in dict.fromkeys(hop.service for hop in HOPS)}
    return {hop.name: round(metrics[hop.service].get(hop.counter, 0.0)) for hop in HOPS}


def scrape(settings: Settings, service: str) -> Mapping[str, float]:
    """A service's metrics without labels, by name. Raises ServiceFailed."""
    url = f"http://{settings.stats_host}:{settings.stats_port(service)}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            lines = answer.read().decode().splitlines()
    except (urllib.error.URLError, OSError) as problem:
        raise ServiceFailed(f"{service} does not answer at {url}", hint="see: bdemo status") from problem
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#") and "{" not in line)
    return {name: float(value) for name, _, value in samples}
