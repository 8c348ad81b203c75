"""PromQL over our metrics, named by their objects: renaming a metric breaks the generation, not a panel."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.metrics import MetricWrapperBase

from backend_demo.stack.services.table import SERVICES

#: Services that serve metrics, in the order of the pipeline.
OURS = tuple(name for name, service in SERVICES.items() if service.ours)

#: Metrics that prometheus_client adds for every process (on Linux).
CPU_SECONDS = "process_cpu_seconds_total"
RESIDENT_BYTES = "process_resident_memory_bytes"
START_TIME = "process_start_time_seconds"
OPEN_FILES = "process_open_fds"
#: Metrics that Prometheus itself makes for every target and alert.
UP = "up"
ALERTS = "ALERTS"

Metric = MetricWrapperBase | str


def name_of(metric: Metric) -> str:
    """Returns the name under which the metric is served; a histogram's without `_bucket`."""
    if isinstance(metric, str):
        return metric
    family = next(iter(metric.describe()))
    return family.name + ("_total" if family.type == "counter" else "")


@dataclass(frozen=True)
class Of:
    """Selects the series of one of our services, of some (`mqtt|bridge`), or of all of them.

    Every process declares all metrics, so without the service a sum would hold other services' zeros, and the
    original's names are shared by several services.
    """

    service: str = ""
    instances: bool = False
    """True: only the instances that are chosen on the dashboard."""

    def __call__(self, metric: Metric, **labels: str) -> str:
        """Returns a selector. A label value that begins with `~` is a regular expression; with `!`, it is excluded."""
        one = self.service and "|" not in self.service
        matchers = [f'service="{self.service}"' if one else f'service=~"{self.service or "|".join(OURS)}"']
        if self.instances:
            matchers.append('instance=~"$instance"')
        for label, value in labels.items():
            operator = {"~": "=~", "!": "!="}.get(value[:1], "=")
            matchers.append(f'{label}{operator}"{value.lstrip("~!")}"')
        return f"{name_of(metric)}{{{','.join(matchers)}}}"


def total(expression: str, *by: str) -> str:
    """Returns the sum over all labels that `by` does not name."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def highest(expression: str, *by: str) -> str:
    """Returns the maximum over all labels that `by` does not name."""
    return f"max by ({', '.join(by)}) ({expression})" if by else f"max({expression})"


def rate(series: str, *by: str, over: str = "$__rate_interval") -> str:
    """Returns the counter's rate per second."""
    return total(f"rate({series}[{over}])", *by)


def per_minute(series: str, *by: str) -> str:
    """Returns the counter's increase in the last minute."""
    return total(f"increase({series}[1m])", *by)


def quantile(fraction: float, of: Of, histogram: MetricWrapperBase, *by: str, **labels: str) -> str:
    """Returns a quantile, estimated from the histogram's buckets over all copies."""
    buckets = of(f"{name_of(histogram)}_bucket", **labels)
    return f"histogram_quantile({fraction}, {rate(buckets, 'le', *by)})"


def buckets(of: Of, histogram: MetricWrapperBase, **labels: str) -> str:
    """Returns the observations per second by bucket, as a heat map needs them."""
    return rate(of(f"{name_of(histogram)}_bucket", **labels), "le")


def mean(of: Of, histogram: MetricWrapperBase, *by: str, **labels: str) -> str:
    """Returns the mean of the observations."""
    name = name_of(histogram)
    return f"{rate(of(f'{name}_sum', **labels), *by)} / {rate(of(f'{name}_count', **labels), *by)}"


def restarts(of: Of, *by: str) -> str:
    """Returns the number of restarts within the last hour."""
    return total(f"changes({of(START_TIME)}[1h])", *by)
