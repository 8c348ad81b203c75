"""Every metric, once. Names without the `bdemo_` prefix are the original's, so that its dashboards keep working.

A process is one service: it declares all of these and serves those that it moves, so a metric that several
services share (`sensor_values_received_total`) tells them apart by its port.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, start_http_server

from backend_demo.settings import Settings

# -- every service
service_ready = Gauge("bdemo_service_ready", "1 while the service can do its work.", ["service"])
dead_letters = Counter("bdemo_dead_letters_total", "Refused records and payloads.", ["service", "reason"])
batches = Counter("bdemo_batches_total", "Batches done: output acknowledged, input acknowledged.", ["service"])
batch_seconds = Histogram(
    "bdemo_batch_seconds",
    "Seconds from a batch's arrival until the stage is ready for the next one.",
    ["service"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
lag_records = Gauge("bdemo_lag_records", "Records of the input topics not yet handled.", ["service"])

# -- bridge (7001)
mqtt_received = Counter("bdemo_mqtt_received_total", "MQTT messages received, repeats included.")
mqtt_repeated = Counter("bdemo_mqtt_repeated_total", "MQTT messages that came again while they were held.")
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
log_gaps = Counter("bdemo_log_gaps_total", "Times the log began behind the fence: records are gone (retention).")


def observe_ages(histogram: Histogram, now: float, times: list[float]) -> None:
    """Observes the ages of many times (epoch seconds) at once; one by one, that would cost more than loading them."""
    times.sort()
    younger = len(times)
    for bound, bucket in zip(histogram._upper_bounds, histogram._buckets, strict=True):
        first = bisect_left(times, now - bound)
        bucket.inc(younger - first)
        younger = first
    past = times[: bisect_left(times, now)]  # what lies ahead of now counts as new
    histogram._sum.inc(now * len(past) - math.fsum(past))  # sum() would lose 2 % of 20,000 ages


# -- gateway (7006), the original's
range_requests = Counter("sensor_values_requests_total", "Requests for readings.")
average_requests = Counter("aggregated_values_requests_total", "Requests for averages.")
latest_requests = Counter("latest_value_requests_total", "Requests for latest readings.")
latest_age = Histogram(
    "latest_value_requests_age_seconds",
    "Age of the latest reading when it was asked for, seconds.",
    buckets=(0.2, 0.4, 0.6, 0.8, 1, 1.2),
)


def serve(settings: Settings, service: str) -> Callable[[], None]:
    """Serves `/metrics` of this process on the service's port, in a thread; what is returned ends that.

    Raises OSError when the port is taken.
    """
    service_ready.labels(service).set(0)
    server, thread = start_http_server(settings.stats_port(service), addr=settings.stats_host, registry=REGISTRY)

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
