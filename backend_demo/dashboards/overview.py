"""The overview: the pipeline from left to right, each column a hop; then what went wrong, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from backend_demo import metrics
from backend_demo.dashboards import common, panel, service
from backend_demo.dashboards.panel import Dashboard, Panel, Query, Row, heatmap, less_is_worse, more_is_worse, quantiles
from backend_demo.dashboards.promql import ALERTS, Of, highest, per_minute, quantile, rate, total
from backend_demo.domain.topics import AGGREGATED_DATA, PROCESSED_DATA, SENSOR_DATA, SRC_DATA

ALL, BRIDGE, AGGREGATION, LOADER, GATEWAY = Of(), Of("bridge"), Of("aggregation"), Of("loader"), Of("gateway")


@dataclass(frozen=True)
class Hop:
    """One column: what the hop before has handed on, and what of it this one has done."""

    title: str
    service: str
    topic: str
    handed_on: str
    """The series that counts what came out of the hop before."""

    @property
    def done(self) -> str:
        return Of(self.service)(metrics.records, topic=self.topic)


HOPS = (
    Hop("Bridge", "bridge", "mqtt", BRIDGE(metrics.mqtt_received)),
    Hop("Collection", "collection", SENSOR_DATA, BRIDGE(metrics.mqtt_acknowledged)),
    Hop("Processing", "processing", SRC_DATA, Of("collection")(metrics.values_sent)),
    Hop("Aggregation", "aggregation", PROCESSED_DATA, Of("processing")(metrics.values_sent)),
    Hop("Loader: readings", "loader", PROCESSED_DATA, Of("processing")(metrics.values_sent)),
    Hop("Loader: averages", "loader", AGGREGATED_DATA, AGGREGATION(metrics.values_sent)),
)

_ALERTS_FIRING = Panel(
    "stat",
    "Alerts firing",
    panel.COUNT,
    (Query(f'count({ALERTS}{{alertstate="firing"}}) or vector(0)', "alerts"),),
    "Alerts of Prometheus that fire now; the table at the end names them.",
    thresholds=more_is_worse(1, 3),
    decimals=0,
)

_THROUGH = Panel(
    "stat",
    "Gets through: what each hop has done, of what the hop before has handed on",
    panel.SHARE,
    tuple(Query(f"{rate(hop.done, over='1m')} / ({rate(hop.handed_on, over='1m')} > 0)", hop.title) for hop in HOPS),
    "100 % everywhere: every reading gets through. Less: records pile up before that hop. More: it catches up, or "
    "repeats what it was at when it was killed.",
    thresholds=less_is_worse(0.5, 0.9),
    decimals=0,
    when_empty="idle",
)


def _in_and_done(hop: Hop) -> Panel:
    return Panel(
        "lines",
        hop.title,
        panel.RECORDS,
        (Query(rate(hop.handed_on), "in", "blue"), Query(rate(hop.done), "done", "green")),
        f"What was handed to {hop.service} ({hop.topic}), and what of it is done. One line on the other is good.",
        opens=service.uid(hop.service),
    )


def _hop_heatmap(hop: Hop) -> Panel:
    return heatmap(
        f"{hop.title}, seconds",
        f"From a record's arrival in {hop.topic} until {hop.service} has made its outcome durable: darker, where more "
        "records took so long.",
        Of(hop.service),
        metrics.hop_seconds,
        topic=hop.topic,
    )


_LATENCY = (
    quantiles(
        "End to end: quantiles",
        "From the sensor's time to the committed row: half of all readings, 95 % and 99 % took less.",
        LOADER,
        metrics.end_to_end,
        thresholds=common.LATENCY_LIMITS,
        table="temperature",
    ),
    heatmap(
        "End to end: all readings",
        "The same, each reading: darker, where more of them took so long.",
        LOADER,
        metrics.end_to_end,
        table="temperature",
    ),
    Panel(
        "lines",
        "Each hop: p99",
        panel.SECONDS,
        (Query(quantile(0.99, ALL, metrics.hop_seconds, "service", "topic"), "{{service}} {{topic}}"),),
        "From a record's arrival in a hop's input until its outcome is durable: which hop is the slow one?",
    ),
)

_UNUSUAL = (
    common.dead_letters(ALL, "service", "reason"),
    Panel(
        "lines",
        "Unusual readings, a minute",
        panel.A_MINUTE,
        (
            Query(per_minute(ALL(metrics.duplicates), "service"), "{{service}}: duplicates"),
            Query(per_minute(ALL(metrics.conflicts), "service"), "{{service}}: conflicts"),
            Query(per_minute(AGGREGATION(metrics.late_readings)), "aggregation: late"),
            Query(per_minute(ALL(metrics.repairs), "service"), "{{service}}: repairs"),
        ),
        "Readings that came again, with another value, after newer ones, or too late for the aggregation's state. "
        "None of them is lost; conflicts are dead letters.",
    ),
    Panel(
        "lines",
        "Sensors",
        panel.COUNT,
        (Query(total(AGGREGATION(metrics.sensors), "state"), "{{state}}"),),
        "Sensors that send, and those that have fallen silent within the hour.",
    ),
)

_SERVERS = (
    Panel(
        "lines",
        "MQTT: messages in flight",
        panel.COUNT,
        (Query(highest(BRIDGE(metrics.mqtt_in_flight)), "in flight"),),
        "Messages that the bridge holds until Kafka acknowledges. At its limit, the sensors have to wait.",
    ),
    common.counted(
        BRIDGE,
        panel.A_MINUTE,
        "MQTT: sent again, a minute",
        "Messages that the broker marked as sent before, as after a crash, and those of them that were still held.",
        redelivered=metrics.mqtt_redelivered,
        still_held=metrics.mqtt_repeated,
    ),
    quantiles(
        "Database: rows per batch",
        "Rows of both tables in one transaction. It grows with the load.",
        LOADER,
        metrics.database_rows,
        unit=panel.COUNT,
    ),
    quantiles(
        "Database: seconds per batch",
        "How long a transaction took, its retries included.",
        LOADER,
        metrics.database_seconds,
    ),
)

_ALERTS = Panel(
    "table",
    "Alerts",
    panel.NONE,
    (Query(f"max by (alertname, severity, alertstate, service) ({ALERTS})", ""),),
    "Alerts of Prometheus that fire, or are about to.",
    width=8,
    when_empty="no alerts",
)

OVERVIEW = Dashboard(
    file="pipeline-overview",
    uid="bdemo-overview",
    title="Pipeline overview",
    description="Does every reading get through, how fast, and what is wrong? From the sensor on the left to the "
    "tables on the right.",
    rows=(
        Row(
            (
                common.stored(LOADER),
                common.end_to_end(LOADER),
                common.oldest_waiting(ALL),
                common.refused(ALL),
                common.copies_ready(ALL),
                _ALERTS_FIRING,
            ),
            height=4,
        ),
        Row((_THROUGH,), height=4, heading="Does every reading get through?"),
        Row(tuple(_in_and_done(hop) for hop in HOPS), height=7),
        Row(tuple(_hop_heatmap(hop) for hop in HOPS), height=6),
        Row(_LATENCY, heading="How fast?"),
        Row(
            (common.lag_records(ALL, "service", "topic"), common.lag_seconds(ALL, "service", "topic")),
            heading="Does anything pile up?",
        ),
        Row(_UNUSUAL, heading="What does not go straight through?"),
        Row(_SERVERS, heading="MQTT and PostgreSQL"),
        Row(
            (
                service.requests_by_route(GATEWAY),
                service.request_seconds_by_route(GATEWAY),
                service.age_by_route(GATEWAY),
            ),
            heading="REST",
        ),
        Row(common.resources(ALL, "service"), heading="What does it cost, and is it stable?"),
        Row((common.ready(ALL), common.versions(ALL), _ALERTS)),
    ),
)
