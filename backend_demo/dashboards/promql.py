"""PromQL over our metrics, each named by its object: a metric that is renamed breaks the making, not a panel."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.metrics import MetricWrapperBase

from backend_demo.stack.services import SERVICES

#: The services whose metrics there are, in the order in which a reading meets them.
OURS = tuple(name for name, service in SERVICES.items() if service.ours)

#: What prometheus_client says of every process (on Linux).
CPU_SECONDS = "process_cpu_seconds_total"
RESIDENT_BYTES = "process_resident_memory_bytes"
START_TIME = "process_start_time_seconds"
OPEN_FILES = "process_open_fds"
#: What Prometheus itself knows of every target, and of its alerts.
UP = "up"
ALERTS = "ALERTS"

Metric = MetricWrapperBase | str


def name_of(metric: Metric) -> str:
    """The name under which the metric is served; a histogram's without `_bucket`."""
    if isinstance(metric, str):
        return metric
    family = next(iter(metric.describe()))
    return family.name + ("_total" if family.type == "counter" else "")


@dataclass(frozen=True)
class Of:
    """Selects the series of one service, or of all of ours.

    Every process declares all metrics, so without the service a sum would hold other services' zeros, and the
    original's names are shared by several services.
    """

    service: str = ""
    instances: bool = False
    """Of the instances that are chosen on the dashboard."""

    def __call__(self, metric: Metric, **labels: str) -> str:
        """A selector. A label's value that begins with `~` or `!` is a regular expression, or what is left out."""
        matchers = [f'service="{self.service}"' if self.service else f'service=~"{"|".join(OURS)}"']
        if self.instances:
            matchers.append('instance=~"$instance"')
        for label, value in labels.items():
            operator = {"~": "=~", "!": "!="}.get(value[:1], "=")
            matchers.append(f'{label}{operator}"{value.lstrip("~!")}"')
        return f"{name_of(metric)}{{{','.join(matchers)}}}"


def total(expression: str, *by: str) -> str:
    """The sum, over all copies and whatever else is not named in `by`."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def highest(expression: str, *by: str) -> str:
    """The largest, likewise."""
    return f"max by ({', '.join(by)}) ({expression})" if by else f"max({expression})"


def rate(series: str, *by: str, over: str = "$__rate_interval") -> str:
    """What was counted a second."""
    return total(f"rate({series}[{over}])", *by)


def per_minute(series: str, *by: str) -> str:
    """What was counted in the last minute."""
    return total(f"increase({series}[1m])", *by)


def quantile(fraction: float, of: Of, histogram: MetricWrapperBase, *by: str, **labels: str) -> str:
    """An estimate from the histogram's buckets, over all copies together."""
    buckets = of(f"{name_of(histogram)}_bucket", **labels)
    return f"histogram_quantile({fraction}, {rate(buckets, 'le', *by)})"


def buckets(of: Of, histogram: MetricWrapperBase, **labels: str) -> str:
    """The observations a second, by bucket: what a heat map is drawn from."""
    return rate(of(f"{name_of(histogram)}_bucket", **labels), "le")


def mean(of: Of, histogram: MetricWrapperBase, *by: str, **labels: str) -> str:
    """The mean of what was observed."""
    name = name_of(histogram)
    return f"{rate(of(f'{name}_sum', **labels), *by)} / {rate(of(f'{name}_count', **labels), *by)}"


def restarts(of: Of, *by: str) -> str:
    """How often processes began anew within the hour."""
    return total(f"changes({of(START_TIME)}[1h])", *by)
