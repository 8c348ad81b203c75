"""Every metric, once. Names without the `bdemo_` prefix are the original's, so that its dashboards keep working.

A process is one service: it declares all of these and serves those that it moves, so a metric that several
services share (`sensor_values_received_total`) tells them apart by its port; Prometheus adds the labels `service` and
`instance`. No label has values that grow with the sensors.
"""

from __future__ import annotations

import math
import platform
from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, get_args

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics, start_http_server

from backend_demo import __version__
from backend_demo.domain.reading import Reason
from backend_demo.settings import Settings

disable_created_metrics()  # type: ignore[no-untyped-call]  # a fifth of every answer that nobody asks for

#: From 1 ms to a minute, seconds.
LATENCIES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)

# -- every service
build_info = Gauge("bdemo_build_info", "1; what runs is in the labels.", ["service", "version", "python"])
service_ready = Gauge("bdemo_service_ready", "1 while the service can do its work.", ["service"])
dead_letters = Counter("bdemo_dead_letters_total", "Refused records and payloads.", ["service", "reason"])
batches = Counter("bdemo_batches_total", "Batches done: output acknowledged, input acknowledged.", ["service"])
batch_seconds = Histogram(
    "bdemo_batch_seconds",
    "Seconds from a batch's arrival until the stage is ready for the next one.",
    ["service"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

# -- every service that consumes a topic
records = Counter(
    "bdemo_records_total",
    "Records of the input whose outcome is durable; of the bridge, MQTT messages (topic mqtt).",
    ["service", "topic"],
)
hop_seconds = Histogram(
    "bdemo_hop_seconds",
    "Seconds from a record's arrival in the input topic until its outcome is durable.",
    ["service", "topic"],
    buckets=LATENCIES,
)
lag_records = Gauge(
    "bdemo_lag_records", "Records of the input that are not done yet.", ["service", "topic", "partition"]
)
lag_seconds = Gauge(
    "bdemo_lag_seconds",
    "Seconds that the oldest record of the input that is not done has waited, within a second.",
    ["service", "topic", "partition"],
)

# -- bridge (7001)
mqtt_received = Counter("bdemo_mqtt_received_total", "MQTT messages received, repeats included.")
mqtt_repeated = Counter("bdemo_mqtt_repeated_total", "MQTT messages that came again while they were held.")
mqtt_redelivered = Counter("bdemo_mqtt_redelivered_total", "MQTT messages that the broker marked as sent before (DUP).")
mqtt_acknowledged = Counter(
    "bdemo_mqtt_acknowledged_total", "MQTT messages acknowledged after Kafka's acknowledgement."
)
mqtt_in_flight = Gauge("bdemo_mqtt_in_flight", "MQTT messages held until Kafka acknowledges.")

# -- collection, processing, aggregation (7002 to 7004), the original's
values_received = Counter("sensor_values_received_total", "Readings that arrived at this stage.")
values_collected = Counter("sensor_values_collected_total", "Readings that the collection understood.")
values_processed = Counter("sensor_values_processed_total", "Readings that the processing found plausible.")
values_aggregated = Counter("sensor_values_aggregated_total", "Readings that the aggregation averaged.")
values_sent = Counter("sensor_values_sent_total", "Records that this stage sent on and Kafka acknowledged.")
duplicates = Counter("bdemo_duplicates_total", "Readings that were there already.", ["service"])
conflicts = Counter("bdemo_conflicts_total", "Readings with another value under a stored identity.", ["service"])
late_readings = Counter("bdemo_late_readings_total", "Readings that came after newer ones of their sensor.")
repairs = Counter("bdemo_repairs_total", "Readings too old for the aggregator's state, averaged in SQL.", ["service"])
sensors = Gauge(
    "bdemo_sensors",
    "Sensors by state: active, or silent (nothing came for `sensor_silent_s`, but within the hour).",
    ["state"],
)

# -- loader (7005), the original's
values_loaded = Counter("sensor_values_loaded_total", "Rows inserted into temperature.")
averages_loaded = Counter("aggregated_values_loaded_total", "Rows inserted into average, or changed there.")
LATENCY_BUCKETS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.1)
value_latency = Histogram(
    "sensor_value_latency", "Seconds from a sensor's time to its committed row.", buckets=LATENCY_BUCKETS
)
average_latency = Histogram(
    "aggregated_value_latency", "Seconds from a sensor's time to its committed average.", buckets=LATENCY_BUCKETS
)
end_to_end = Histogram(
    "bdemo_end_to_end_seconds",
    "Seconds from a sensor's time to its committed row, by table.",
    ["table"],
    buckets=LATENCIES,
)
database_rows = Histogram(
    "bdemo_database_batch_rows",
    "Rows of both tables in a transaction.",
    buckets=(1, 10, 100, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000),
)
database_seconds = Histogram(
    "bdemo_database_batch_seconds", "Seconds that a transaction took, its retries included.", buckets=LATENCIES
)
log_gaps = Counter("bdemo_log_gaps_total", "Times the log began behind the fence: records are gone (retention).")


# -- gateway (7006), the original's
range_requests = Counter("sensor_values_requests_total", "Requests for readings.")
average_requests = Counter("aggregated_values_requests_total", "Requests for averages.")
latest_requests = Counter("latest_value_requests_total", "Requests for latest readings.")
latest_age = Histogram(
    "latest_value_requests_age_seconds",
    "Age of the latest reading when it was asked for, seconds.",
    buckets=(0.2, 0.4, 0.6, 0.8, 1, 1.2),
)
request_seconds = Histogram(
    "bdemo_request_seconds",
    "Seconds from a request until its answer was sent, by route and status.",
    ["route", "status"],
    buckets=LATENCIES,
)
requested_age = Histogram(
    "bdemo_requested_age_seconds",
    "Age of the newest value in an answer, by route, seconds.",
    ["route"],
    buckets=(*LATENCIES, 300, 3600, 86_400),
)
streams = Gauge("bdemo_streams", "Answers that are sent while they are read, at this moment.")
streams_dropped = Counter("bdemo_streams_dropped_total", "Live streams ended because their client was too slow.")


# -- many observations at once: one by one they would cost more than the work that they are about


def observe_ages(histograms: Sequence[Histogram], now: float, times: list[float]) -> None:
    """Observes the ages of these times (epoch seconds) in each histogram."""
    times.sort()
    past = times[: bisect_left(times, now)]  # what lies ahead of now counts as new
    total = now * len(past) - math.fsum(past)  # sum() would lose 2 % of 20,000 ages
    for histogram in histograms:
        younger = len(times)
        for bound, bucket in zip(histogram._upper_bounds, histogram._buckets, strict=True):
            first = bisect_left(times, now - bound)
            bucket.inc(younger - first)
            younger = first
        histogram._sum.inc(total)


_timestamp = attrgetter("timestamp")


def observe_waits(histogram: Histogram, now: float, found: Sequence[Any]) -> None:
    """Observes how long these records have waited; they are in the order of their `timestamp`, epoch milliseconds.

    The sum is as if those of one bucket were evenly spread from its first to its last.
    """
    bounds, begin, total = histogram._upper_bounds, 0, 0.0
    while begin < len(found):
        oldest = max(0.0, now - found[begin].timestamp / 1000)
        bucket = bisect_left(bounds, oldest)
        younger = (now - bounds[bucket - 1]) * 1000 if bucket else math.inf
        end = len(found) if found[-1].timestamp < younger else bisect_left(found, younger, begin + 1, key=_timestamp)
        newest = max(0.0, now - found[end - 1].timestamp / 1000)
        histogram._buckets[bucket].inc(end - begin)
        total += (oldest + newest) / 2 * (end - begin)
        begin = end
    histogram._sum.inc(total)


def serve(settings: Settings, service: str) -> Callable[[], None]:
    """Serves `/metrics` of this process on the service's port, in a thread; what is returned ends that.

    Raises OSError when the port is taken.
    """
    service_ready.labels(service).set(0)
    build_info.labels(service, __version__, platform.python_version()).set(1)
    for reason in get_args(Reason):  # a counter that begins with its first dead letter would hide that one
        dead_letters.labels(service, reason)
    if service == "loader":  # likewise
        for table in ("temperature", "average"):
            end_to_end.labels(table)
    server, thread = start_http_server(settings.stats_port(service), addr=settings.stats_host, registry=REGISTRY)

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
