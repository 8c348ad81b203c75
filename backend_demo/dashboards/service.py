"""A dashboard for each service, from one table: what the service does and moves, then what every service has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend_demo import metrics
from backend_demo.dashboards import common, panel
from backend_demo.dashboards.panel import Dashboard, Panel, Query, Row, heatmap, more_is_worse, quantiles
from backend_demo.dashboards.promql import OURS, Of, highest, name_of, quantile, rate, total

Panels = Callable[[Of], tuple[Panel, ...]]
Rows = Callable[[Of], tuple[Row, ...]]


@dataclass(frozen=True)
class Does:
    """What a service does: in words, at a glance (four values), and in rows of its own."""

    words: str
    glance: Panels
    rows: Rows


def uid(service: str) -> str:
    """By which the service's dashboard is linked."""
    return f"bdemo-{service}"


# -- rows of several services


def _speed(of: Of) -> tuple[Row, ...]:
    return (
        Row((common.hop_quantiles(of), common.hop_heatmap(of), common.batch_quantiles(of)), heading="How fast?"),
        Row((common.batches(of), common.batch_size(of))),
    )


def _lag(of: Of) -> Row:
    by = ("topic", "partition")
    return Row((common.lag_records(of, *by), common.lag_seconds(of, *by)), heading="Does anything pile up?")


def _stage_glance(of: Of) -> tuple[Panel, ...]:
    return common.done(of), common.per_record(of), common.oldest_waiting(of), common.refused(of)


def _stage(moved: Panel, of: Of, *more: Panel) -> tuple[Row, ...]:
    """The rows of a service between two topics."""
    middle = (Row(more),) if more else ()
    return (
        Row((moved, common.done_by_copy(of), common.dead_letters(of, "reason")), heading="What goes through?"),
        *middle,
        *_speed(of),
        _lag(of),
    )


# -- the services


def _bridge_glance(of: Of) -> tuple[Panel, ...]:
    in_flight = Panel(
        "stat",
        "In flight",
        panel.COUNT,
        (Query(total(of(metrics.mqtt_in_flight)), "in flight"),),
        "Messages that are held until Kafka acknowledges.",
        decimals=0,
    )
    return common.done(of, panel.MESSAGES), common.per_record(of), in_flight, common.refused(of)


def _bridge(of: Of) -> tuple[Row, ...]:
    moved = common.counted(
        of,
        panel.MESSAGES,
        "Messages a second",
        "What came from the MQTT broker, and what was acknowledged after Kafka's acknowledgement.",
        received=metrics.mqtt_received,
        acknowledged=metrics.mqtt_acknowledged,
    )
    in_flight = Panel(
        "lines",
        "Messages in flight",
        panel.COUNT,
        (Query(highest(of(metrics.mqtt_in_flight), "instance"), "{{instance}}"),),
        "Messages that are held until Kafka acknowledges. At its limit, the sensors have to wait.",
    )
    again = common.counted(
        of,
        panel.A_MINUTE,
        "Messages sent again, a minute",
        "Messages that the broker marked as sent before, as after a crash, and those of them that were still held.",
        redelivered=metrics.mqtt_redelivered,
        still_held=metrics.mqtt_repeated,
    )
    return (
        Row((moved, in_flight, again), heading="What goes through?"),
        Row((common.dead_letters(of, "reason"), common.batches(of), common.batch_size(of))),
        Row((common.hop_quantiles(of), common.hop_heatmap(of), common.batch_quantiles(of)), heading="How fast?"),
    )


def _collection(of: Of) -> tuple[Row, ...]:
    moved = common.counted(
        of,
        panel.RECORDS,
        "Readings a second",
        "Records that came, readings that were understood and sent on. An array of readings is one record.",
        received=metrics.values_received,
        collected=metrics.values_collected,
        sent=metrics.values_sent,
    )
    return _stage(moved, of)


def _processing(of: Of) -> tuple[Row, ...]:
    moved = common.counted(
        of,
        panel.RECORDS,
        "Readings a second",
        "Readings that came, those of them that were plausible, and records sent on.",
        received=metrics.values_received,
        processed=metrics.values_processed,
        sent=metrics.values_sent,
    )
    return _stage(moved, of)


def _aggregation(of: Of) -> tuple[Row, ...]:
    moved = common.counted(
        of,
        panel.RECORDS,
        "Readings and averages a second",
        "Readings that came and were averaged, and records sent on: averages, those that late readings changed, "
        "repairs.",
        received=metrics.values_received,
        aggregated=metrics.values_aggregated,
        sent=metrics.values_sent,
    )
    unusual = common.counted(
        of,
        panel.A_MINUTE,
        "Unusual readings, a minute",
        "Readings that were there already, came with another value, came after newer ones of their sensor, or so "
        "late that the loader has to average them.",
        duplicates=metrics.duplicates,
        conflicts=metrics.conflicts,
        late=metrics.late_readings,
        repairs=metrics.repairs,
    )
    sensors = Panel(
        "lines",
        "Sensors",
        panel.COUNT,
        (Query(total(of(metrics.sensors), "state"), "{{state}}"),),
        "Sensors that send, and those that have fallen silent within the hour.",
    )
    sensors_by_copy = Panel(
        "lines",
        "Active sensors, by copy",
        panel.COUNT,
        (Query(total(of(metrics.sensors, state="active"), "instance"), "{{instance}}"),),
        "A sensor belongs to a partition, and a partition to one copy.",
    )
    return _stage(moved, of, unusual, sensors, sensors_by_copy)


def _loader_glance(of: Of) -> tuple[Panel, ...]:
    return common.stored(of), common.end_to_end(of), common.oldest_waiting(of), common.refused(of)


def _loader(of: Of) -> tuple[Row, ...]:
    moved = common.counted(
        of,
        panel.ROWS,
        "Rows a second",
        "Rows that were new in the tables, and averages that were new or changed.",
        readings=metrics.values_loaded,
        averages=metrics.averages_loaded,
    )
    unusual = common.counted(
        of,
        panel.A_MINUTE,
        "Unusual readings, a minute",
        "Readings that were in the table already, with the same value or another one, and readings that came so late "
        "that their averages were computed from the table.",
        duplicates=metrics.duplicates,
        conflicts=metrics.conflicts,
        repairs=metrics.repairs,
    )
    gaps = common.counted(
        of,
        panel.A_MINUTE,
        "Gaps in the log, a minute",
        "Times that Kafka's log began behind what was loaded: records are gone. Anything but 0 is a loss.",
        gaps=metrics.log_gaps,
    )
    first, *rest = _stage(moved, of, unusual, gaps)
    latency = tuple(
        Row(
            (
                quantiles(
                    f"Sensor to {what}: quantiles",
                    f"From the sensor's time to the committed {what}: half of all, 95 % and 99 % took less.",
                    of,
                    metrics.end_to_end,
                    thresholds=common.LATENCY_LIMITS,
                    table=table,
                ),
                heatmap(
                    f"Sensor to {what}: all",
                    "The same, each of them: darker, where more took so long.",
                    of,
                    metrics.end_to_end,
                    table=table,
                ),
            ),
            heading=heading,
        )
        for what, table, heading in (("row", "temperature", "How long since the sensor?"), ("average", "average", ""))
    )
    database = Row(
        (
            quantiles(
                "Rows per transaction",
                "Rows of both tables in one transaction. It grows with the load.",
                of,
                metrics.database_rows,
                unit=panel.COUNT,
            ),
            quantiles(
                "Seconds per transaction",
                "How long a transaction took, its retries included.",
                of,
                metrics.database_seconds,
            ),
            Panel(
                "lines",
                "Transactions a second, by copy",
                panel.OPERATIONS,
                (Query(rate(of(f"{name_of(metrics.database_seconds)}_count"), "instance"), "{{instance}}"),),
                "Transactions that were committed.",
            ),
        ),
        heading="PostgreSQL",
    )
    return first, *latency, database, *rest


def _requests(of: Of, *by: str, **labels: str) -> str:
    return rate(of(f"{name_of(metrics.request_seconds)}_count", **labels), *by)


def _gateway_glance(of: Of) -> tuple[Panel, ...]:
    failed = f"({_requests(of, status='~5..')} or vector(0)) / ({_requests(of)} > 0)"
    return (
        Panel(
            "stat",
            "Requests",
            panel.REQUESTS,
            (Query(_requests(of), "requests"),),
            "Requests a second, over all routes.",
        ),
        Panel(
            "stat",
            "Per request, p99",
            panel.SECONDS,
            (Query(quantile(0.99, of, metrics.request_seconds), "p99"),),
            "From a request until its answer was sent: all but one in a hundred took less.",
            thresholds=common.LATENCY_LIMITS,
            when_empty="idle",
        ),
        Panel(
            "stat",
            "Failed by our fault",
            panel.SHARE,
            (Query(failed, "failed"),),
            "Of all requests, those that were answered with 5xx.",
            thresholds=more_is_worse(0.001, 0.01),
            decimals=1,
            when_empty="idle",
        ),
        Panel(
            "stat",
            "Open streams",
            panel.COUNT,
            (Query(total(of(metrics.streams)), "streams"),),
            "Answers that are sent while they are read, at this moment.",
            decimals=0,
        ),
    )


def requests_by_route(of: Of) -> Panel:
    return Panel(
        "lines",
        "Requests by route and status",
        panel.REQUESTS,
        (Query(_requests(of, "route", "status"), "{{route}} {{status}}"),),
        "Requests a second. 5xx is our fault, 4xx the client's; 503 while PostgreSQL is away.",
    )


def request_seconds_by_route(of: Of) -> Panel:
    return Panel(
        "lines",
        "Seconds per request: p99",
        panel.SECONDS,
        (Query(quantile(0.99, of, metrics.request_seconds, "route"), "{{route}}"),),
        "From a request until its answer was sent, by route. A stream counts when it ends.",
    )


def age_by_route(of: Of) -> Panel:
    return Panel(
        "lines",
        "Age of what was asked for: p50",
        panel.SECONDS,
        (Query(quantile(0.5, of, metrics.requested_age, "route"), "{{route}}"),),
        "How old the newest value of an answer was, half of the times.",
    )


def _gateway(of: Of) -> tuple[Row, ...]:
    original = common.counted(
        of,
        panel.REQUESTS,
        "Requests for values",
        "Requests for readings, for averages and for the newest reading, on the original's routes.",
        readings=metrics.range_requests,
        averages=metrics.average_requests,
        newest=metrics.latest_requests,
    )
    streams = Panel(
        "lines",
        "Open streams",
        panel.COUNT,
        (Query(total(of(metrics.streams), "instance"), "{{instance}}"),),
        "Answers that are sent while they are read.",
    )
    return (
        Row((requests_by_route(of), original, streams), heading="What is asked for?"),
        Row(
            (
                quantiles(
                    "Seconds per request: quantiles",
                    "From a request until its answer was sent: half of all, 95 % and 99 % took less.",
                    of,
                    metrics.request_seconds,
                ),
                heatmap(
                    "Seconds per request: all",
                    "The same, each request: darker, where more of them took so long.",
                    of,
                    metrics.request_seconds,
                ),
                request_seconds_by_route(of),
            ),
            heading="How fast?",
        ),
        Row(
            (
                age_by_route(of),
                heatmap(
                    "Age of what was asked for: all",
                    "How old the newest value of each answer was: darker for more answers.",
                    of,
                    metrics.requested_age,
                ),
            ),
            heading="How fresh?",
        ),
    )


DOES = {
    "bridge": Does("takes messages from MQTT to the topic sensor-data", _bridge_glance, _bridge),
    "collection": Does("makes readings of messages: sensor-data to src-data", _stage_glance, _collection),
    "processing": Does("passes plausible readings on: src-data to processed-data", _stage_glance, _processing),
    "aggregation": Does("averages readings: processed-data to aggregated-data", _stage_glance, _aggregation),
    "loader": Does("stores readings and averages in PostgreSQL", _loader_glance, _loader),
    "gateway": Does("answers REST requests from PostgreSQL", _gateway_glance, _gateway),
}


def dashboard(service: str) -> Dashboard:
    """A service's dashboard."""
    does, of = DOES[service], Of(service, instances=True)
    return Dashboard(
        file=f"service-{service}",
        uid=uid(service),
        title=f"Service: {service}",
        description=f"The {service} {does.words}.",
        service=service,
        rows=(
            Row((common.copies_ready(of), common.restarted(of), *does.glance(of)), height=4),
            *does.rows(of),
            Row(common.resources(of, "instance"), heading="What does it cost, and is it stable?"),
            Row((common.ready(of).wide(14), common.versions(of)), height=6),
        ),
    )


SERVICES = tuple(dashboard(service) for service in OURS)
