"""Every metric, once. Names without the `bdemo_` prefix are the original's, so that its dashboards keep working.

A process is one service. It declares all of these metrics and serves the ones it changes, so a metric that several
services share (`sensor_values_received_total`) is told apart by its port; Prometheus adds the labels `service` and
`instance`. No label has a value per sensor.
"""

from __future__ import annotations

import math
import platform
from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, get_args

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from backend_demo import __version__, metrics_server
from backend_demo.domain.reading import Reason
from backend_demo.settings import Settings

disable_created_metrics()  # type: ignore[no-untyped-call]  # a fifth of every response, and unused

#: Histogram buckets from 1 ms to a minute, seconds.
LATENCIES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)

# -- every service
build_info = Gauge(
    "bdemo_build_info", "Always 1; the labels name service and versions.", ["service", "version", "python"]
)
service_ready = Gauge("bdemo_service_ready", "1 while the service can do its work.", ["service"])
dead_letters = Counter("bdemo_dead_letters_total", "Refused records and payloads.", ["service", "reason"])
batches = Counter("bdemo_batches_total", "Completed batches: output and input are acknowledged.", ["service"])
batch_seconds = Histogram(
    "bdemo_batch_seconds",
    "Seconds from a batch's arrival until the stage is ready for the next one.",
    ["service"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

# -- every service that consumes a topic
service_rebalancing = Gauge(
    "bdemo_service_rebalancing",
    "1 while a service that has been ready waits until its consumer group has assigned partitions again.",
    ["service"],
)
records = Counter(
    "bdemo_records_total",
    "Input records whose outcome is durable; for the proxy and the bridge, MQTT messages (topic mqtt).",
    ["service", "topic"],
)
hop_seconds = Histogram(
    "bdemo_hop_seconds",
    "Seconds from a record's arrival in the input topic until its outcome is durable.",
    ["service", "topic"],
    buckets=LATENCIES,
)
lag_records = Gauge("bdemo_lag_records", "Input records that are not processed yet.", ["service", "topic", "partition"])
lag_seconds = Gauge(
    "bdemo_lag_seconds",
    "Seconds that the oldest unprocessed input record has waited, exact to a second.",
    ["service", "topic", "partition"],
)

# -- mqtt (7007) and bridge (7001)
mqtt_received = Counter("bdemo_mqtt_received_total", "MQTT messages received, repeats included.")
mqtt_repeated = Counter("bdemo_mqtt_repeated_total", "MQTT messages that arrived again while they were held.")
mqtt_redelivered = Counter("bdemo_mqtt_redelivered_total", "MQTT messages that the broker marked as sent before (DUP).")
mqtt_acknowledged = Counter(
    "bdemo_mqtt_acknowledged_total", "MQTT messages acknowledged after Kafka's acknowledgement."
)
mqtt_in_flight = Gauge("bdemo_mqtt_in_flight", "MQTT messages held until Kafka acknowledges.")
mqtt_connections = Gauge("bdemo_mqtt_connections", "Open connections of MQTT clients.")
mqtt_refused = Counter(
    "bdemo_mqtt_refused_total", "MQTT clients that were not let in or were disconnected, by reason.", ["reason"]
)
mqtt_subscribers_dropped = Counter(
    "bdemo_mqtt_subscribers_dropped_total", "MQTT subscribers disconnected because they were too slow."
)
kafka_unreachable_since = Gauge(
    "bdemo_kafka_unreachable_since_seconds",
    "Since when Kafka is unreachable, epoch seconds; 0: it answers.",
    ["service"],
)

# -- poll (7008)
polls = Counter(
    "bdemo_polls_total",
    "Requests to devices by outcome: read, refused (an answer without a reading: a dead letter), failed (no answer).",
    ["outcome"],
)

# -- collection, processing, aggregation (7002 to 7004), the original's
values_received = Counter("sensor_values_received_total", "Readings that arrived at this stage.")
values_collected = Counter("sensor_values_collected_total", "Readings that the collection understood.")
values_processed = Counter("sensor_values_processed_total", "Readings that the processing found plausible.")
values_aggregated = Counter("sensor_values_aggregated_total", "Readings that the aggregation averaged.")
values_sent = Counter("sensor_values_sent_total", "Records that this stage sent on and Kafka acknowledged.")
duplicates = Counter("bdemo_duplicates_total", "Readings that had arrived before.", ["service"])
conflicts = Counter(
    "bdemo_conflicts_total", "Readings with the sensor and time of an earlier one but another value.", ["service"]
)
late_readings = Counter("bdemo_late_readings_total", "Readings that arrived after newer ones of their sensor.")
repairs = Counter("bdemo_repairs_total", "Readings too old for the aggregator's state, averaged in SQL.", ["service"])
sensors = Gauge(
    "bdemo_sensors",
    "Sensors by state: active, or silent (no reading for `sensor_silent_s`, but one within the last hour).",
    ["state"],
)

# -- loader (7005), the original's
values_loaded = Counter("sensor_values_loaded_total", "Rows inserted into temperature.")
averages_loaded = Counter("aggregated_values_loaded_total", "Rows inserted into average or changed there.")
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
    "Rows of both tables in one transaction.",
    buckets=(1, 10, 100, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000),
)
database_seconds = Histogram(
    "bdemo_database_batch_seconds", "Seconds per transaction, retries included.", buckets=LATENCIES
)
log_gaps = Counter(
    "bdemo_log_gaps_total",
    "Times that the log began after the fence: records were deleted by retention before they were loaded.",
)
hours_summarised = Counter(
    "bdemo_hours_summarised_total", "Hours of a sensor whose summary was computed, behind the pipeline.", ["series"]
)


# -- gateway (7006), the original's
range_requests = Counter("sensor_values_requests_total", "Requests for readings.")
average_requests = Counter("aggregated_values_requests_total", "Requests for averages.")
latest_requests = Counter("latest_value_requests_total", "Requests for latest readings.")
latest_age = Histogram(
    "latest_value_requests_age_seconds",
    "Age of the latest reading when it was requested, seconds.",
    buckets=(0.2, 0.4, 0.6, 0.8, 1, 1.2),
)
request_seconds = Histogram(
    "bdemo_request_seconds",
    "Seconds from a request until its response was sent, by route and status.",
    ["route", "status"],
    buckets=LATENCIES,
)
requested_age = Histogram(
    "bdemo_requested_age_seconds",
    "Age of the newest value in a response, by route, seconds.",
    ["route"],
    buckets=(*LATENCIES, 300, 3600, 86_400),
)
http_readings = Counter(
    "bdemo_http_readings_total", "Readings that came by `POST /v1/readings` and Kafka has acknowledged."
)
streams = Gauge("bdemo_streams", "Responses that are being streamed now.")
streams_dropped = Counter("bdemo_streams_dropped_total", "Live streams ended because their client was too slow.")


# -- many observations at once: one at a time they would cost more than the work they measure


def observe_ages(histograms: Sequence[Histogram], now: float, times: list[float]) -> None:
    """Observes the ages of these times (epoch seconds) in each histogram."""
    times.sort()
    past = times[: bisect_left(times, now)]  # a time in the future counts as age 0
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
    """Observes how long these records have waited; they are sorted by `timestamp` (epoch milliseconds).

    The sum is an estimate: within a bucket, records count as evenly spread between its first and its last.
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
    """Serves `/metrics` of this process on the service's port, in a thread; returns a function that ends it.

    Raises OSError when the port is taken.
    """
    service_ready.labels(service).set(0)
    build_info.labels(service, __version__, platform.python_version()).set(1)
    for reason in get_args(Reason):  # a counter that starts at its first dead letter would hide that one from rates
        dead_letters.labels(service, reason)
    address, port = settings.stats_host, settings.stats_port(service)
    return metrics_server.start(address, port, service=service, names=(address, *settings.stats_allowed_hosts))
