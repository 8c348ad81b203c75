"""The overview: the pipeline from left to right, one column per hop; then what went wrong, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from backend_demo import metrics
from backend_demo.dashboards import common, gateway, panel, service
from backend_demo.dashboards.panel import (
    Dashboard,
    Panel,
    PanelRow,
    Query,
    heatmap,
    less_is_worse,
    more_is_worse,
    quantiles,
)
from backend_demo.dashboards.promql import ALERTS, Of, highest, per_minute, quantile, rate, total
from backend_demo.domain.topics import AGGREGATED_DATA, PROCESSED_DATA, SENSOR_DATA, SRC_DATA

ALL, DOOR, AGGREGATION, LOADER, GATEWAY = Of(), Of("mqtt|bridge"), Of("aggregation"), Of("loader"), Of("gateway")


@dataclass(frozen=True)
class HopColumn:
    """One column: what the previous hop sent, and how much of it this hop has processed."""

    title: str
    service: str
    topic: str
    handed_on: str
    """The series that counts what the previous hop sent."""
    others: Of | None = None
    """Selects the service and others that stand in its place; None: there are none."""

    @property
    def of(self) -> Of:
        return self.others or Of(self.service)

    @property
    def done(self) -> str:
        return self.of(metrics.records, topic=self.topic)


HOPS = (
    HopColumn("MQTT", "mqtt", "mqtt", DOOR(metrics.mqtt_received), DOOR),
    HopColumn("Collection", "collection", SENSOR_DATA, DOOR(metrics.mqtt_acknowledged)),
    HopColumn("Processing", "processing", SRC_DATA, Of("collection")(metrics.values_sent)),
    HopColumn("Aggregation", "aggregation", PROCESSED_DATA, Of("processing")(metrics.values_sent)),
    HopColumn("Loader: readings", "loader", PROCESSED_DATA, Of("processing")(metrics.values_sent)),
    HopColumn("Loader: averages", "loader", AGGREGATED_DATA, AGGREGATION(metrics.values_sent)),
)

_ALERTS_FIRING = Panel(
    "stat",
    "Alerts firing",
    panel.COUNT,
    (Query(f'count({ALERTS}{{alertstate="firing"}}) or vector(0)', "alerts"),),
    "Prometheus alerts that fire now; the table at the end lists them.",
    thresholds=more_is_worse(1, 3),
    decimals=0,
)

_THROUGH = Panel(
    "stat",
    "Share of records each hop has processed, of what the previous hop sent",
    panel.SHARE,
    tuple(Query(f"{rate(hop.done, over='1m')} / ({rate(hop.handed_on, over='1m')} > 0)", hop.title) for hop in HOPS),
    "100 % everywhere: every reading gets through. Less: records pile up before that hop. More: it is catching up, or "
    "repeats what was unfinished when it was killed.",
    thresholds=less_is_worse(0.5, 0.9),
    decimals=0,
    when_empty="idle",
)


def _in_and_done(hop: HopColumn) -> Panel:
    return Panel(
        "lines",
        hop.title,
        panel.RECORDS,
        (Query(rate(hop.handed_on), "in", "blue"), Query(rate(hop.done), "done", "green")),
        f"Records sent to {hop.service} ({hop.topic}), and records it has processed. The two lines should coincide.",
        opens=service.uid(hop.service),
    )


def _hop_heatmap(hop: HopColumn) -> Panel:
    return heatmap(
        f"{hop.title}, seconds",
        f"From a record's arrival in {hop.topic} until its outcome in {hop.service} is durable: the darker, the more "
        "records took that long.",
        hop.of,
        metrics.hop_seconds,
        topic=hop.topic,
    )


_LATENCY = (
    quantiles(
        "End to end: quantiles",
        "From the sensor's time to the committed row: 50 %, 95 % and 99 % of readings took less.",
        LOADER,
        metrics.end_to_end,
        thresholds=common.LATENCY_LIMITS,
        table="temperature",
    ),
    heatmap(
        "End to end: all readings",
        "The same for every reading: the darker, the more readings took that long.",
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
        "Readings that arrived again, with another value, after newer ones, or too late for the aggregation's state. "
        "None of them is lost; conflicts are dead letters.",
    ),
    Panel(
        "lines",
        "Sensors",
        panel.COUNT,
        (Query(total(AGGREGATION(metrics.sensors), "state"), "{{state}}"),),
        "Sensors that send, and sensors that fell silent within the last hour.",
    ),
)

_SERVERS = (
    Panel(
        "lines",
        "MQTT: messages in flight",
        panel.COUNT,
        (Query(highest(DOOR(metrics.mqtt_in_flight)), "in flight"),),
        "Messages that wait for Kafka's acknowledgement. At the limit, sensors have to wait.",
    ),
    common.counted(
        DOOR,
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
        "Duration of a transaction, retries included.",
        LOADER,
        metrics.database_seconds,
    ),
)

_ALERTS = Panel(
    "table",
    "Alerts",
    panel.NONE,
    (Query(f"max by (alertname, severity, alertstate, service) ({ALERTS})", ""),),
    "Prometheus alerts that fire or are pending.",
    width=8,
    when_empty="no alerts",
)

OVERVIEW = Dashboard(
    file="pipeline-overview",
    uid="bdemo-overview",
    title="Pipeline overview",
    description="Does every reading get through, how fast, and what is wrong? From the sensors on the left to the "
    "tables on the right.",
    rows=(
        PanelRow(
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
        PanelRow((_THROUGH,), height=4, heading="Does every reading get through?"),
        PanelRow(tuple(_in_and_done(hop) for hop in HOPS), height=7),
        PanelRow(tuple(_hop_heatmap(hop) for hop in HOPS), height=6),
        PanelRow(_LATENCY, heading="How fast?"),
        PanelRow(
            (common.lag_records(ALL, "service", "topic"), common.lag_seconds(ALL, "service", "topic")),
            heading="Does anything pile up?",
        ),
        PanelRow(_UNUSUAL, heading="What needed special treatment?"),
        PanelRow(_SERVERS, heading="MQTT and PostgreSQL"),
        PanelRow(
            (
                gateway.requests_by_route(GATEWAY),
                gateway.request_seconds_by_route(GATEWAY),
                gateway.age_by_route(GATEWAY),
            ),
            heading="REST",
        ),
        PanelRow(common.resources(ALL, "service"), heading="What does it cost, and is it stable?"),
        PanelRow((common.ready(ALL), common.versions(ALL), _ALERTS)),
    ),
)
